// Package objstore stores immutable objects: in S3, in a folder, in memory.
package objstore
