// Package trigger decides which pushes a pipeline leaves out: by what they change, by a marker in the
// commit's message, by who pushed. The webhook receiver and the search for lost pushes share it, so
// that what was left out on purpose is not found missing later.
package trigger

import (
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"gravity/internal/delivery"
)

// Push is what the rules look at.
type Push struct {
	// Message is the whole message of the last commit.
	Message string
	// Bot is true when a bot pushed.
	Bot bool
	// Paths are the files that were changed. Complete is false where there may be more of them than
	// are listed: then no rule about paths leaves the push out.
	Paths    []string
	Complete bool
}

// LeftOut says why a push starts no run of the pipeline, or "".
func LeftOut(p delivery.Pipeline, push Push) string {
	if p.Trigger.Bots == delivery.BotsIgnore && push.Bot {
		return "a bot pushed it, and the pipeline ignores bots"
	}
	message := strings.ToLower(push.Message)
	for _, marker := range p.Trigger.Skip {
		if strings.Contains(message, strings.ToLower(marker)) {
			return fmt.Sprintf("its message says %s", marker)
		}
	}
	if len(p.Trigger.Paths) > 0 && push.Complete && !touches(p.Trigger.Paths, push.Paths) {
		return "it changes none of the pipeline's paths"
	}
	return ""
}

// touches reports whether a changed file fits. Patterns with ! take files out of what the others
// take in; where there are no others, out of all.
func touches(patterns, paths []string) bool {
	var in, out []string
	for _, pattern := range patterns {
		if negated, ok := strings.CutPrefix(pattern, "!"); ok {
			out = append(out, negated)
		} else {
			in = append(in, pattern)
		}
	}
	for _, path := range paths {
		if (len(in) == 0 || fits(in, path)) && !fits(out, path) {
			return true
		}
	}
	return false
}

func fits(patterns []string, path string) bool {
	for _, pattern := range patterns {
		if doublestar.MatchUnvalidated(pattern, path) {
			return true
		}
	}
	return false
}
