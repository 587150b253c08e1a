// Package app builds a logstore process bottom up, runs it and stops it top down. It is the only place that knows all
// rooms; it reads like a table of contents.
//
// # Start
//
// Buckets, shipper and store; the ingester over the store; the distributor over the ring and the ingester; the querier over
// ingester and store; the HTTP surface over all of them. HTTP is served from the first moment, so that /ready can say how
// far the replay of the write-ahead log is; pushes and queries are answered when the replay has ended.
//
// # Stop
//
// The order is the promise that nothing acknowledged is lost and nothing is refused without need:
//
//	/ready says no, and shutdown_delay passes      load balancers turn away
//	HTTP stops                                     requests under way are finished
//	the member leaves the ring                     it is LEAVING: others take its share
//	ingester flushes                               what fails to flush is handed over to other members, or stays in the log
//	shipper uploads its tables                     rows of the chunks just flushed are among them; or hands them over
//	the member has left                            it is LEFT, and its calls end
//	everything closes
package app
