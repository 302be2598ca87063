package runner

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tailSize is how much of the end of the output a result keeps, in bytes: enough for a failed
// test's message, little enough for a workflow history.
const tailSize = 8 << 10

// tail keeps the end of what is written to it.
type tail struct {
	ring    [2 * tailSize]byte
	used    int
	dropped bool
}

func (t *tail) write(content []byte) {
	if len(content) > tailSize {
		content = content[len(content)-tailSize:]
		t.used, t.dropped = 0, true
	}
	if t.used+len(content) > len(t.ring) {
		copy(t.ring[:], t.ring[t.used-tailSize:t.used])
		t.used, t.dropped = tailSize, true
	}
	t.used += copy(t.ring[t.used:], content)
}

// String is the end of the output as text that is safe to show and to store.
func (t *tail) String() string {
	kept := t.ring[:t.used]
	cut := t.dropped
	if len(kept) > tailSize {
		kept, cut = kept[len(kept)-tailSize:], true
	}
	if cut {
		// Begin with a whole line, if there is one, or at least with a whole character.
		if line := strings.IndexByte(string(kept), '\n'); line >= 0 && line < len(kept)-1 {
			kept = kept[line+1:]
		}
		for len(kept) > 0 && !utf8.RuneStart(kept[0]) {
			kept = kept[1:]
		}
	}
	return Clean(string(kept))
}

// escapeSequence is what terminals obey: colours, cursor movements, titles, links.
var escapeSequence = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[ -/]*[0-~])|\u009b[0-?]*[ -/]*[@-~]")

// Clean makes output safe to show and to store: valid UTF-8, without escape sequences and control
// characters other than line breaks and tabs, and without the invisible characters that turn text around.
func Clean(output string) string {
	output = strings.ToValidUTF8(output, "\uFFFD")
	output = escapeSequence.ReplaceAllString(output, "")
	output = strings.ReplaceAll(output, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r':
			return '\n' // a progress line that overwrites itself becomes lines
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		default:
			return r
		}
	}, output)
}
