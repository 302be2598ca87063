package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress tells what `starter up` does: lines that stay, and on a terminal one line below them that
// says what is going on now. Where the output is no terminal, that line is logged when it changes; and for
// programs each is a JSON document in a line of its own.
type progress struct {
	out      io.Writer
	style    style
	terminal bool
	json     bool
	began    time.Time

	mu  sync.Mutex
	now string
}

func newProgress(out io.Writer, forPrograms bool) *progress {
	if forPrograms {
		return &progress{out: out, json: true, began: time.Now()}
	}
	return &progress{out: out, style: styleOf(out), terminal: isTerminal(out), began: time.Now()}
}

// told is what progress says to programs, a line each.
type told struct {
	Time time.Time `json:"time"`
	// Kind is doing, said, title, passed or failed; or up, of the line that has the addresses.
	Kind string `json:"kind"`
	Text string `json:"text,omitempty"`
	Up   *tour  `json:"up,omitempty"`
}

// tell prints a line that stays, for people or for programs.
func (p *progress) tell(kind, text, forPeople string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.json {
		p.encode(told{Kind: kind, Text: strings.TrimSpace(text)})
		return
	}
	p.erase()
	printf(p.out, "%s\n", forPeople)
	p.draw()
}

// up tells programs where everything is.
func (p *progress) up(t tour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.encode(told{Kind: "up", Up: &t})
}

func (p *progress) encode(line told) {
	line.Time = time.Now()
	_ = json.NewEncoder(p.out).Encode(line) // whoever closed the pipe wants no more of it
}

// say prints a line that stays.
func (p *progress) say(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	p.tell("said", text, text)
}

// title begins a chapter.
func (p *progress) title(text string) { p.tell("title", text, "\n"+p.style.bold(text)) }

// passed and failed are verdicts.
func (p *progress) passed(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	p.tell("passed", text, "  "+p.style.green("✓")+" "+text)
}

func (p *progress) failed(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	p.tell("failed", text, "  "+p.style.red("✗")+" "+text)
}

// doing says what is going on now; empty when nothing is.
func (p *progress) doing(text string) {
	text = fit(clean(text), 120)
	p.mu.Lock()
	defer p.mu.Unlock()
	if text == p.now {
		return
	}
	p.erase()
	p.now = text
	if p.json {
		if text != "" {
			p.encode(told{Kind: "doing", Text: text})
		}
		return
	}
	if !p.terminal && text != "" {
		printf(p.out, "  %s  %s\n", p.elapsed(), text)
	}
	p.draw()
}

func (p *progress) elapsed() string {
	seconds := int(time.Since(p.began).Seconds())
	return fmt.Sprintf("%02d:%02d", seconds/60, seconds%60)
}

func (p *progress) erase() {
	if p.terminal && p.now != "" {
		printf(p.out, "\r\x1b[K")
	}
}

func (p *progress) draw() {
	if p.terminal && p.now != "" {
		columns, _ := sizeOf(p.out)
		printf(p.out, "  %s", p.style.dim(fit(p.elapsed()+"  "+strings.TrimSpace(p.now), columns-3)))
	}
}
