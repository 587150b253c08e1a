// Package objstoretest holds the acceptance suite that every implementation of objstore.Bucket passes. Only tests import it.
package objstoretest
