package pipeline

import (
	"bytes"

	"regexp"
)

// colours matches the control sequences of terminals.
var colours = regexp.MustCompile("[\u001b\u009b][[\\]()#;?]*(?:(?:(?:[a-zA-Z\\d]*(?:;[a-zA-Z\\d]*)*)?\u0007)|(?:(?:\\d{1,4}(?:;\\d{0,4})*)?[\\dA-PRZcf-ntqry=><~]))")

// decolorize removes control sequences of terminals from the line.
type decolorize struct{}

type boundDecolorize struct{}

func (decolorize) bind(*Stream) boundStage { return boundDecolorize{} }

func (boundDecolorize) process(line []byte) ([]byte, bool) {
	if bytes.IndexByte(line, 0x1b) < 0 && !bytes.Contains(line, []byte("\u009b")) {
		return line, true
	}
	return colours.ReplaceAllLiteral(line, nil), true
}
