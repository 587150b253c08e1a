// Package failpoint names the places at which a process may be made to die, fail or wait, so that tests can try each of
// them.
//
// A package declares its points as variables and passes them where the harm would be greatest:
//
//	var uploaded = failpoint.New("shipper/uploaded", "an index file is in the bucket, its local file is not dropped yet")
//
//	if err := uploaded.Hit(); err != nil {
//		return err
//	}
//
// A point that is off costs one atomic load. Points are switched on by the environment variable LOGSTORE_FAILPOINTS of the
// process, which main hands to Activate, or by Enable in a test. The text is a list of point=action with a semicolon
// between them; an action is one of
//
//	kill         the process kills itself with SIGKILL: nothing is flushed, nothing is cleaned up
//	error        Hit returns ErrInjected
//	sleep(1s)    Hit waits
//	off          nothing happens
//
// and N*action does it from the N-th pass on, N-1 passes do nothing: "shipper/uploaded=3*kill".
//
// Table lists all points with what each stands for: a test that walks them all needs no list of its own.
//
// The points are compiled in, unlike those of go.etcd.io/gofail, whose comments are turned into code by a tool before the
// build: the binary that is killed in a test is the binary that is shipped.
package failpoint
