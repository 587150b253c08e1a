module logstore/bench

go 1.25

require github.com/klauspost/compress v1.20.3

require github.com/pierrec/lz4/v4 v4.1.33
