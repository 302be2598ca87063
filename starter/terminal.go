package main

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"gravity/internal/runner"
	"gravity/workflows"
)

// style says how text is painted: in colours on a terminal, unless NO_COLOR is set.
type style struct{ colour bool }

// styleOf chooses the style for a writer.
func styleOf(w io.Writer) style {
	return style{colour: canRedraw(w) && os.Getenv("NO_COLOR") == ""}
}

// canRedraw reports whether a writer obeys cursor movements.
func canRedraw(w io.Writer) bool { return isTerminal(w) && os.Getenv("TERM") != "dumb" }

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// sizeOf is the terminal's width and height; 80 by 24 when it has none.
func sizeOf(w io.Writer) (width, height int) {
	if file, ok := w.(*os.File); ok {
		if width, height, err := term.GetSize(int(file.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return 80, 24
}

func (s style) paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string  { return s.paint("1", text) }
func (s style) dim(text string) string   { return s.paint("2", text) }
func (s style) red(text string) string   { return s.paint("31", text) }
func (s style) green(text string) string { return s.paint("32", text) }

// state paints a state by what it means: well, under way, waiting for a person, or ill.
func (s style) state(state workflows.RunState) string {
	switch state {
	case workflows.StateSucceeded:
		return s.green(string(state))
	case workflows.StateFailed, workflows.StateNeedsAttention, workflows.StateRejected, workflows.StateAborted:
		return s.red(string(state))
	case workflows.StateWaiting:
		return s.paint("33", string(state))
	case workflows.StateBuilding, workflows.StateDeploying:
		return s.paint("36", string(state))
	case workflows.StatePending, workflows.StateSuperseded:
		return s.dim(string(state))
	default:
		return string(state)
	}
}

// clean makes a text from outside, such as a commit's message, one harmless line.
func clean(text string) string { return strings.Join(strings.Fields(runner.Clean(text)), " ") }

// cleanKeepingIndent is clean for a line of a program's output, whose spaces mean something.
func cleanKeepingIndent(line string) string {
	line = strings.ReplaceAll(runner.Clean(line), "\t", "    ")
	return strings.TrimRight(strings.ReplaceAll(line, "\n", " "), " ")
}

// width counts what is seen of a text; what paints it takes no room.
func width(text string) int { return utf8.RuneCountInString(runner.Clean(text)) }

// fit cuts an unpainted line to a width.
func fit(line string, most int) string {
	if most < 1 || utf8.RuneCountInString(line) <= most {
		return line
	}
	return string([]rune(line)[:most-1]) + "…"
}

// table aligns rows in columns. Cells may be painted; the last column is as long as it likes.
func table(w io.Writer, indent string, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for column, cell := range row {
			if column == len(widths) {
				widths = append(widths, 0)
			}
			widths[column] = max(widths[column], width(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for column, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[column]-width(cell)+2))
		}
		printf(w, "%s%s\n", indent, strings.TrimRight(line.String(), " "))
	}
}
