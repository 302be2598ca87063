package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/client"

	"gravity/workflows"
)

// sight is something that is watched, as it is at one moment.
type sight interface {
	// ended reports whether nothing more will change.
	ended() bool
	// headlines say in lines what goes on now; those that were not there before are news.
	headlines() []string
	// render writes all of it.
	render(w io.Writer, s style)
	// document is all of it for programs.
	document() any
}

// follow watches until the end: redrawn in place on a terminal, line by line elsewhere, and as one
// JSON document a change with -o json. Trouble that passes is told, and waited out.
func (g *globals) follow(ctx context.Context, doing string, look func(context.Context) (sight, error)) error {
	s := g.newScreen()
	ticker := time.NewTicker(g.pace)
	defer ticker.Stop()
	for {
		seen, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%w; what was watched goes on", errInterrupted)
		case err != nil && !passing(err):
			return g.explain(err, doing)
		case err != nil:
			s.trouble(g.explain(err, doing).Error())
		default:
			s.show(seen)
			if seen.ended() {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; what was watched goes on", errInterrupted)
		case <-ticker.C:
		}
	}
}

// screen shows sights one after another.
type screen struct {
	out, errors io.Writer
	style       style
	json        bool
	redraw      bool
	width       int
	height      int

	drawn    int      // lines of the last drawing, to draw over
	said     []string // headlines of the last sight
	last     []byte   // JSON of the last sight
	troubled string
}

func (g *globals) newScreen() *screen {
	s := &screen{out: g.stdout, errors: g.stderr, style: styleOf(g.stdout), json: g.json(), redraw: canRedraw(g.stdout)}
	s.width, s.height = sizeOf(g.stdout)
	return s
}

func (s *screen) show(seen sight) {
	s.troubled = ""
	switch {
	case s.json:
		s.showJSON(seen)
	case s.redraw:
		s.draw(seen)
	default:
		s.append(seen)
	}
}

// trouble says, once, why nothing new is seen.
func (s *screen) trouble(reason string) {
	if reason != s.troubled {
		s.troubled = reason
		s.drawn = 0 // what follows is drawn below, not over it
		printf(s.errors, "%s\n", cleanLines(reason))
	}
}

// showJSON writes a line when anything changed.
func (s *screen) showJSON(seen sight) {
	line, err := json.Marshal(seen.document())
	if err != nil || bytes.Equal(line, s.last) {
		return // these types always marshal
	}
	s.last = line
	printf(s.out, "%s\n", line)
}

// append writes what is new, and at the end the whole.
func (s *screen) append(seen sight) {
	lines := seen.headlines()
	for _, line := range lines {
		if line != "" && !slices.Contains(s.said, line) {
			printf(s.out, "%s  %s\n", s.style.dim(time.Now().Format(time.TimeOnly)), line)
		}
	}
	s.said = lines
	if seen.ended() {
		printf(s.out, "\n")
		seen.render(s.out, s.style)
	}
}

// draw writes the whole over what was there. Only the last drawing may be longer than the screen,
// and wrap, since nothing is drawn over it.
func (s *screen) draw(seen sight) {
	var drawing bytes.Buffer
	seen.render(&drawing, s.style)
	lines := strings.Split(strings.TrimRight(drawing.String(), "\n"), "\n")
	if !seen.ended() {
		lines = lines[:min(len(lines), s.height-1)]
		for i, line := range lines {
			if width(line) > s.width {
				lines[i] = fit(cleanKeepingIndent(line), s.width) // without its colours: a cut must not lose their end
			}
		}
	}
	var frame strings.Builder
	if s.drawn > 0 {
		frame.WriteString("\x1b[" + strconv.Itoa(s.drawn) + "F\x1b[J")
	}
	frame.WriteString(strings.Join(lines, "\n") + "\n")
	printf(s.out, "%s", frame.String())
	s.drawn = len(lines)
}

// runSight is a run that is watched.
type runSight struct{ runView }

func (r runSight) ended() bool                 { return r.State.Ended() }
func (r runSight) render(w io.Writer, s style) { renderRun(w, r.runView, s) }
func (r runSight) document() any               { return r.runView }

func (r runSight) headlines() []string {
	lines := []string{string(r.State) + "  " + clean(r.Detail)}
	for _, answer := range r.Answers {
		lines = append(lines, answered(answer))
	}
	for _, step := range r.Live {
		lines = append(lines, step.String())
	}
	return lines
}

// followRun watches a run until it ends, and answers with how it stood last.
func (g *globals) followRun(ctx context.Context, c client.Client, runID string) (runView, error) {
	var last runView
	err := g.follow(ctx, "asking "+runID, func(ctx context.Context) (sight, error) {
		view, err := g.observeRun(ctx, c, runID)
		if err == nil {
			last = view
		}
		return runSight{view}, err
	})
	return last, err
}

// verdict is the error of a run that did not end well.
func verdict(view runView) error {
	switch view.State {
	case workflows.StateSucceeded, workflows.StateSuperseded:
		return nil
	default:
		return &failedRelease{verdict: view.RunID + " ended as " + string(view.State) + ": " + view.Detail}
	}
}
