package activities

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

func TestTheLastWholeLineIsKept(t *testing.T) {
	cases := []struct {
		name   string
		writes []string
		want   string
	}{
		{"nothing was printed", nil, ""},
		{"one line", []string{"ok\n"}, "ok"},
		{"several lines at once", []string{"first\nsecond\nthird\n"}, "third"},
		{"a line that is not finished is not shown", []string{"first\nsec"}, "first"},
		{"a line that comes in pieces", []string{"fir", "st li", "ne\n"}, "first line"},
		{"an empty line leaves the one before", []string{"first\n", "\n  \n"}, "first"},
		{"colours and other control characters are taken out", []string{"\x1b[31mFAIL\x1b[0m\a prices\n"}, "FAIL prices"},
		{"bytes that are no text are marked", []string{"a\xff\n"}, "a\uFFFD"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			var l lastLine
			for _, write := range test.writes {
				n, err := l.Write([]byte(write))
				assert.NoError(t, err)
				assert.Equal(t, len(write), n)
			}
			assert.Equal(t, test.want, l.String())
		})
	}
}

func TestAnEndlessLineTakesNoMemory(t *testing.T) {
	var l lastLine
	for range 1000 {
		fmt.Fprint(&l, strings.Repeat("größer ", 100))
	}
	assert.LessOrEqual(t, len(l.pending), maxLine)
	fmt.Fprintln(&l)
	assert.LessOrEqual(t, len(l.String()), maxLine)
	assert.True(t, utf8.ValidString(l.String()))
}
