// Package chunk reads and writes Loki's chunk bytes, versions 1 to 4 (FORMAT.md).
//
// A Chunk is a run of Blocks of one stream. Open and OpenRef make one of an object of the bucket; a Builder makes one of
// entries as they arrive and shows it as a Chunk at any time; Marshal turns any chunk into an object and its key. Readers see no
// difference: they Load a block into a Batch, search Buf as a whole, and Walk it into columns if something was found. Iterate and
// Merge go over the entries of several chunks in order, each once.
//
// The package does no I/O, knows no clock and starts nothing.
//
// Caveats. A chunk points into the bytes it was opened from: they must not change while it is in use. What a Batch or an Iterator
// returned is overwritten by its next use; strings of metadata live as long as the chunk. A Builder and its chunks share memory
// without locks because bytes are only ever appended: whoever holds a chunk reads the part that was there, and a buffer that was
// handed out once is left to the garbage collector, while others are used again.
//
// Foreign bytes: sizes in them are believed only as far as the data can hold them, checksums are tested when a block or the symbols
// are loaded, and every failure wraps ErrCorrupt and says where it is.
package chunk
