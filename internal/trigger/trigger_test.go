package trigger

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func TestWhatAPipelineLeavesOut(t *testing.T) {
	defaults := delivery.Pipeline{}.WithDefaults()
	paths := func(patterns ...string) delivery.Pipeline {
		p := defaults
		p.Trigger.Paths = patterns
		return p
	}
	noBots := defaults
	noBots.Trigger.Bots = delivery.BotsIgnore
	ownMarker := defaults
	ownMarker.Trigger.Skip = []string{"#hold"}
	changed := func(files ...string) Push { return Push{Paths: files, Complete: true} }
	for name, c := range map[string]struct {
		pipeline delivery.Pipeline
		push     Push
		reason   string
	}{
		"nothing by default":               {defaults, Push{Message: "mend it", Bot: true}, ""},
		"GitHub's marker":                  {defaults, Push{Message: "typo [skip ci]"}, "its message says [skip ci]"},
		"the marker in capitals, below":    {defaults, Push{Message: "typo\n\n[CI SKIP]"}, "its message says [ci skip]"},
		"the marker of its own":            {ownMarker, Push{Message: "later #hold"}, "its message says #hold"},
		"GitHub's is replaced by that":     {ownMarker, Push{Message: "typo [skip ci]"}, ""},
		"a bot's":                          {noBots, Push{Bot: true}, "a bot pushed it, and the pipeline ignores bots"},
		"not a person's":                   {noBots, Push{}, ""},
		"what changes none of its paths":   {paths("shop/**"), changed("docs/a.md", "go.mod"), "it changes none of the pipeline's paths"},
		"not what changes one":             {paths("shop/**"), changed("docs/a.md", "shop/cart/main.go"), ""},
		"what changes only what is out":    {paths("!docs/**", "!*.md"), changed("docs/a.png", "README.md"), "it changes none of the pipeline's paths"},
		"not what changes something else":  {paths("!docs/**"), changed("docs/a.md", "main.go"), ""},
		"what is in and out again":         {paths("shop/**", "!shop/docs/**"), changed("shop/docs/a.md"), "it changes none of the pipeline's paths"},
		"a push that changes nothing":      {paths("shop/**"), changed(), "it changes none of the pipeline's paths"},
		"not what is too large to be sure": {paths("shop/**"), Push{Paths: []string{"docs/a.md"}}, ""},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.reason, LeftOut(c.pipeline, c.push)) })
	}
}
