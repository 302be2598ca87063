package delivery

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"
)

func TestAWindowOpensOnItsDaysInItsTimeZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	windows := Windows{TimeZone: "Europe/Berlin", Holidays: []string{"2026-12-24", "2026-12-25"}, Open: []Window{
		{Days: []string{"Mon", "Tue", "Wed", "Thu", "Fri"}, From: "09:00", To: "16:00"},
		{Days: []string{"Sat"}, From: "22:00", To: "24:00"},
	}}
	at := func(month time.Month, day, hour, minute int) time.Time {
		return time.Date(2026, month, day, hour, minute, 0, 0, berlin)
	}
	for name, c := range map[string]struct{ now, from, to time.Time }{
		"within one":                       {at(11, 25, 10, 30), at(11, 25, 10, 30), at(11, 25, 16, 0)},
		"at its beginning":                 {at(11, 25, 9, 0), at(11, 25, 9, 0), at(11, 25, 16, 0)},
		"at its end, which is outside":     {at(11, 25, 16, 0), at(11, 26, 9, 0), at(11, 26, 16, 0)},
		"before it":                        {at(11, 25, 3, 0), at(11, 25, 9, 0), at(11, 25, 16, 0)},
		"up to midnight":                   {at(11, 28, 23, 59), at(11, 28, 23, 59), at(11, 29, 0, 0)},
		"over a Sunday":                    {at(11, 29, 12, 0), at(11, 30, 9, 0), at(11, 30, 16, 0)},
		"over holidays":                    {at(12, 23, 18, 0), at(12, 26, 22, 0), at(12, 27, 0, 0)},
		"on the day the clock is set back": {at(10, 26, 1, 0), at(10, 26, 9, 0), at(10, 26, 16, 0)},
	} {
		opening, err := windows.Next(c.now.UTC())
		require.NoError(t, err, name)
		require.True(t, opening.From.Equal(c.from), "%s: opens at %s", name, opening.From)
		require.True(t, opening.To.Equal(c.to), "%s: closes at %s", name, opening.To)
	}
}

func TestAWindowThatNeverOpensIsAnError(t *testing.T) {
	_, err := Windows{TimeZone: "UTC", Open: []Window{{Days: []string{"Funday"}, From: "09:00", To: "16:00"}}}.Next(time.Now())
	require.Equal(t, InvalidInput, TypeOf(err))
	_, err = Windows{TimeZone: "Mars/Olympus"}.Next(time.Now())
	require.Equal(t, InvalidInput, TypeOf(err))
}
