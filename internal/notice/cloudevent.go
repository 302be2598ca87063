package notice

import (
	"encoding/json"
	"fmt"
	"time"

	"gravity/internal/delivery"
)

// cloudEvent is a notice as CNCF's CloudEvents 1.0 has events, in structured JSON.
type cloudEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            eventData `json:"data"`
}

type eventData struct {
	delivery.Notice
	URL string `json:"url,omitempty"`
}

// event is the notice's event, and its JSON. The ID is the same however often it is sent, so that a receiver
// can tell a second delivery from a second event.
func event(m Message) (cloudEvent, []byte, error) {
	e := cloudEvent{
		SpecVersion: "1.0", ID: fmt.Sprintf("%s/%d", m.Execution, m.Number), Source: "/gravity/" + m.Pipeline,
		Type: "gravity.run." + m.Moment(), Subject: m.RunID, Time: m.At.UTC(), DataContentType: "application/json",
		Data: eventData{Notice: m.Notice, URL: m.URL},
	}
	body, err := json.Marshal(e)
	if err != nil {
		return e, nil, fmt.Errorf("write the event: %w", err)
	}
	return e, body, nil
}
