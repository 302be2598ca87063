package measures

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func TestTheReportShowsEveryMeasureAndNeedsNothingFromElsewhere(t *testing.T) {
	hostile := at(9, "v1", delivery.OutcomeDeployed)
	hostile.Pipeline = `<script>alert(1)</script>`
	to := monday.AddDate(0, 0, 7)
	var page strings.Builder
	require.NoError(t, Report(&page, Compute([]Deployment{
		at(9, "v1", delivery.OutcomeDeployed), at(20, "v2", delivery.OutcomeTakenBack), hostile,
	}, monday, to), monday, to))
	text := page.String()
	for _, wanted := range []string{"2 November 2026", "shop on shop-production", "50%", "3.0 h", "60 min", "2026-11-02: 1 deployed, 1 taken back", "<rect"} {
		require.Contains(t, text, wanted)
	}
	for _, unwanted := range []string{"<script", "src=", "href=", "@import", "url("} {
		require.NotContains(t, text, unwanted)
	}
}

func TestAnEmptyPeriodHasAReportToo(t *testing.T) {
	var page strings.Builder
	require.NoError(t, Report(&page, nil, monday, sunday))
	require.Contains(t, page.String(), "No deployment changed anything")
}

func TestDurationsAreSaidAsPeopleSayThem(t *testing.T) {
	for d, words := range map[time.Duration]string{
		0: "–", 40 * time.Second: "40 s", 40 * time.Minute: "40 min", 30 * time.Hour: "30.0 h", 72 * time.Hour: "3.0 days",
	} {
		require.Equal(t, words, Words(d))
	}
}
