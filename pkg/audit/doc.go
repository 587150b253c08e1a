// Package audit looks at a whole bucket from outside the running store: it reads every table and every chunk, tells whether
// the index and the chunks agree, and makes an index anew from what is there. The tools of the command line are its
// faces, and the tests of crashes use it as their judge.
//
// The nouns:
//
//   - Bucket: the periods of a configuration with the buckets of their tables and chunks.
//   - Table, File: a day's index as it is listed, and one of its objects.
//   - Named: a chunk as a file names it.
//   - Problem: one thing that is wrong, of a Kind. Report counts everything and holds the first of the problems.
//   - Source: the chunks from which an index is made: all objects that there are, or those that another index names.
//   - SidecarBuilder: makes the sidecars that chunks of past days lack, or have of an old version, some in each pass, moves those of a
//     table into packs once all are there, and removes what these replace after a while.
//
// Nothing is written except by Copy, by SidecarBuilder and through the Index that a caller hands in. A live bucket changes meanwhile: an
// object that is gone is looked up once more before it is reported, and objects younger than a grace period need not be
// indexed yet. Memory grows by eight bytes for each row and some sixty for each chunk.
package audit
