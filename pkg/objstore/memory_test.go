package objstore_test

import (
	"testing"

	"logstore/pkg/objstore"
	"logstore/pkg/objstore/objstoretest"
)

func TestMemory(t *testing.T) {
	objstoretest.AcceptanceTest(t, objstore.NewMemory())
}
