// Package cachetest is the acceptance suite of caches: whatever implements cache.Cache passes it. Only tests import it.
package cachetest
