#include "textflag.h"

// func indexPairWide(p *byte, n, dist int, c0, c1, m0, m1 byte) int
//
// Returns the least i < n with p[i]|m0 == c0 and p[i+dist]|m1 == c1, or -1. n is at least 32. Needs AVX2.
TEXT ·indexPairWide(SB), NOSPLIT, $0-40
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), BX
	MOVQ dist+16(FP), DI
	ADDQ SI, DI
	VPBROADCASTB c0+24(FP), Y0
	VPBROADCASTB c1+25(FP), Y1
	VPBROADCASTB m0+26(FP), Y2
	VPBROADCASTB m1+27(FP), Y3
	XORQ AX, AX
	LEAQ -64(BX), CX

wide:
	CMPQ AX, CX
	JGT  narrow
	VPOR (SI)(AX*1), Y2, Y4
	VPOR (DI)(AX*1), Y3, Y5
	VPOR 32(SI)(AX*1), Y2, Y6
	VPOR 32(DI)(AX*1), Y3, Y7
	VPCMPEQB Y4, Y0, Y4
	VPCMPEQB Y5, Y1, Y5
	VPCMPEQB Y6, Y0, Y6
	VPCMPEQB Y7, Y1, Y7
	VPAND Y4, Y5, Y4
	VPAND Y6, Y7, Y6
	VPOR  Y4, Y6, Y5
	VPTEST Y5, Y5
	JNZ  hit
	ADDQ $64, AX
	JMP  wide

hit:
	VPMOVMSKB Y4, R8
	TESTL R8, R8
	JNZ  found
	VPMOVMSKB Y6, R8
	ADDQ $32, AX
	JMP  found

narrow:
	// The last 64 positions at most: once at the next 32, once at the very last 32.
	LEAQ -32(BX), CX
	CMPQ AX, CX
	JGE  last
	VPOR (SI)(AX*1), Y2, Y4
	VPOR (DI)(AX*1), Y3, Y5
	VPCMPEQB Y4, Y0, Y4
	VPCMPEQB Y5, Y1, Y5
	VPAND Y4, Y5, Y4
	VPMOVMSKB Y4, R8
	TESTL R8, R8
	JNZ  found

last:
	MOVQ CX, AX
	VPOR (SI)(AX*1), Y2, Y4
	VPOR (DI)(AX*1), Y3, Y5
	VPCMPEQB Y4, Y0, Y4
	VPCMPEQB Y5, Y1, Y5
	VPAND Y4, Y5, Y4
	VPMOVMSKB Y4, R8
	TESTL R8, R8
	JNZ  found
	MOVQ $-1, AX
	VZEROUPPER
	MOVQ AX, ret+32(FP)
	RET

found:
	BSFL R8, R8
	ADDQ R8, AX
	VZEROUPPER
	MOVQ AX, ret+32(FP)
	RET
