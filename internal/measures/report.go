package measures

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed report.html
var page string

var report = template.Must(template.New("report").Funcs(template.FuncMap{
	"words":   func(s Seconds) string { return Words(time.Duration(s)) },
	"percent": func(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) },
	"bars":    bars,
}).Parse(page))

// Report writes one page of HTML with the measures and their charts. It needs nothing from elsewhere: no
// script, no style sheet, no font.
func Report(w io.Writer, all []Measure, from, to time.Time) error {
	return report.Execute(w, struct {
		From, To string
		Measures []Measure
	}{from.Format("2 January 2006"), to.Format("2 January 2006"), all})
}

// bar is one day of a chart, in the units of its SVG: the successes at the bottom, the failures on top of them.
type bar struct {
	X, Width                  float64
	GoodY, Good, FailedY, Bad float64
	Title                     string
}

const chartWidth, chartHeight = 720.0, 96.0

// bars lays a chart out over all days; the busiest one fills its height.
func bars(days []Day) []bar {
	most := 1
	for _, day := range days {
		most = max(most, day.Succeeded+day.Failed)
	}
	step := chartWidth / float64(max(len(days), 1))
	unit := chartHeight / float64(most)
	all := make([]bar, len(days))
	for i, day := range days {
		good, bad := float64(day.Succeeded)*unit, float64(day.Failed)*unit
		all[i] = bar{
			X: float64(i) * step, Width: max(step-1, 0.5),
			GoodY: chartHeight - good, Good: good, FailedY: chartHeight - good - bad, Bad: bad,
			Title: fmt.Sprintf("%s: %d deployed, %d taken back", day.Date, day.Succeeded, day.Failed),
		}
	}
	return all
}

// Words is a duration as people say it: in days above two of them, in hours above two, in minutes or
// seconds below.
func Words(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	default:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
}
