// Package compress holds the codecs of chunk blocks by the numbers and names that Loki gives them.
//
// An Encoding is one codec with its parameters. AppendCompress writes one complete stream behind what a buffer already
// holds, AppendDecompress reads one complete stream the same way; coders and their tables are pooled, so that neither
// allocates when the buffer is large enough. What this package writes is read by any implementation of the format, and
// it reads what any of them writes: several gzip members, linked LZ4 blocks, zstd frames with or without a size,
// skippable snappy frames.
//
// Caveats. Decompression trusts nothing: the caller gives the largest size that it accepts, memory grows with what
// really comes out and not with what a header claims, and every failure is ErrCorrupt or ErrTooLarge. Whether the
// bytes are the right ones is not known here (none, flate and the LZ4 frames that we write carry no checksum): chunks
// have their own.
//
// All functions may be called concurrently.
package compress
