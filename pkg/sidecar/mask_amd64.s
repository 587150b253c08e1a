#include "textflag.h"

// The low nibble's classes: bit 0 for 0-9, bit 1 for A-O and a-o, bit 2 for P-Z and _, bit 3 for p-z, bit 4 for bytes from 0x80 on.
DATA lowNibble<>+0(SB)/8, $0x1f1f1f1f1f1f1f1d
DATA lowNibble<>+8(SB)/8, $0x16121212121e1f1f
GLOBL lowNibble<>(SB), RODATA|NOPTR, $16

DATA highNibble<>+0(SB)/8, $0x0802040201000000
DATA highNibble<>+8(SB)/8, $0x1010101010101010
GLOBL highNibble<>(SB), RODATA|NOPTR, $16

// func wordMaskWide(dst *uint64, src *byte, words int)
//
// Sets bit i of dst[w] if src[64*w+i] is a byte of words. Needs AVX2, and 64*words bytes of src.
TEXT ·wordMaskWide(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ words+16(FP), CX
	VBROADCASTI128 lowNibble<>(SB), Y0
	VBROADCASTI128 highNibble<>(SB), Y1
	MOVQ $0x0f0f0f0f0f0f0f0f, AX
	VMOVQ AX, X2
	VPBROADCASTQ X2, Y2
	VPXOR Y3, Y3, Y3

loop:
	TESTQ CX, CX
	JZ    done
	VMOVDQU (SI), Y4
	VMOVDQU 32(SI), Y5
	VPSRLW $4, Y4, Y6
	VPSRLW $4, Y5, Y7
	VPAND Y2, Y4, Y4
	VPAND Y2, Y5, Y5
	VPAND Y2, Y6, Y6
	VPAND Y2, Y7, Y7
	VPSHUFB Y4, Y0, Y4
	VPSHUFB Y5, Y0, Y5
	VPSHUFB Y6, Y1, Y6
	VPSHUFB Y7, Y1, Y7
	VPAND Y4, Y6, Y4
	VPAND Y5, Y7, Y5
	VPCMPEQB Y3, Y4, Y4
	VPCMPEQB Y3, Y5, Y5
	VPMOVMSKB Y4, AX
	VPMOVMSKB Y5, BX
	SHLQ $32, BX
	ORQ  BX, AX
	NOTQ AX
	MOVQ AX, (DI)
	ADDQ $64, SI
	ADDQ $8, DI
	DECQ CX
	JMP  loop

done:
	VZEROUPPER
	RET
