package delivery

import (
	"slices"
	"strconv"
	"time"
)

// Opening is when a window is open: from From, which is now or later, until To.
type Opening struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// farthest is how many days ahead a window is looked for: all weekdays may be holidays for a while.
const farthest = 400

// Next is the opening that is going on, or the next one. It reads the machine's time zone database, so that
// workflows must not call it outside of a side effect. The error is InvalidInput: no window opens in
// the next 400 days, or the time zone is unknown here.
func (w Windows) Next(now time.Time) (Opening, error) {
	zone, err := time.LoadLocation(w.TimeZone)
	if err != nil {
		return Opening{}, Errorf(InvalidInput, "the gate's time zone %q is not known on this machine: %w", w.TimeZone, err)
	}
	now = now.In(zone)
	for ahead := range farthest {
		day := time.Date(now.Year(), now.Month(), now.Day()+ahead, 0, 0, 0, 0, zone)
		if slices.Contains(w.Holidays, day.Format(time.DateOnly)) {
			continue
		}
		if opening, ok := w.on(day, now); ok {
			return opening, nil
		}
	}
	return Opening{}, Errorf(InvalidInput, "no window of the gate opens in the next %d days", farthest)
}

// on finds the first opening of a day that has not passed.
func (w Windows) on(day, now time.Time) (first Opening, found bool) {
	for _, window := range w.Open {
		if !slices.Contains(window.Days, Weekdays()[day.Weekday()]) {
			continue
		}
		opening := Opening{From: clockOn(day, window.From), To: clockOn(day, window.To)}
		if !opening.To.After(now) {
			continue
		}
		if opening.From.Before(now) {
			opening.From = now
		}
		if !found || opening.From.Before(first.From) || opening.From.Equal(first.From) && opening.To.After(first.To) {
			first, found = opening, true
		}
	}
	return first, found
}

// clockOn is a time of a day, such as 09:30. The day's own clock decides, also where it is changed that day.
func clockOn(day time.Time, clock string) time.Time {
	hour, _ := strconv.Atoi(clock[:2])
	minute, _ := strconv.Atoi(clock[3:])
	return time.Date(day.Year(), day.Month(), day.Day(), hour, minute, 0, 0, day.Location())
}
