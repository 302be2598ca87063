package platform

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// Event is one entry of the platform's journal.
type Event struct {
	At            time.Time           `json:"at"`
	Severity      types.EventSeverity `json:"severity"`
	Message       string              `json:"message"`
	Application   string              `json:"application,omitempty"`
	Environment   string              `json:"environment,omitempty"`
	EnvironmentID string              `json:"environmentId,omitempty"`
	Version       string              `json:"version,omitempty"`
	RequestID     string              `json:"requestId,omitempty"`
}

// How much of the past can be asked for.
const (
	eventAge      = 6 * 7 * 24 * time.Hour
	maxEventsPage = 1000
)

// journal keeps events in memory, oldest first, and appends them to a file.
type journal struct {
	file   *os.File
	events []Event
	of     map[string][]int // places of an environment's events, by its ID and by its name
}

// remember takes an event up.
func (j *journal) remember(e Event) {
	place := len(j.events)
	j.events = append(j.events, e)
	if e.EnvironmentID != "" {
		j.of[e.EnvironmentID] = append(j.of[e.EnvironmentID], place)
		j.of[e.Environment] = append(j.of[e.Environment], place)
	}
}

// places are those of the events that a request can be about, oldest first, before a given place.
func (j *journal) places(in *eb.DescribeEventsInput, before int) (count int, at func(int) int) {
	var places []int
	switch {
	case in.EnvironmentId != nil:
		places = j.of[*in.EnvironmentId]
	case in.EnvironmentName != nil:
		places = j.of[*in.EnvironmentName]
	default:
		return before, func(n int) int { return n }
	}
	return sort.SearchInts(places, before), func(n int) int { return places[n] }
}

func openJournal(path string) (*journal, error) {
	j := &journal{of: map[string][]int{}}
	old, err := os.Open(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the events: %w", err)
	}
	if err == nil {
		lines := bufio.NewScanner(old)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e Event
			// The last line is cut short when the stand-in was killed while it wrote.
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				j.remember(e)
			}
		}
		err = lines.Err()
		if closeErr := old.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, fmt.Errorf("read the events: %w", err)
		}
	}
	if j.file, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
		return nil, fmt.Errorf("open the file of events: %w", err)
	}
	return j, nil
}

// last is the time of the last event.
func (j *journal) last() time.Time {
	if len(j.events) == 0 {
		return time.Time{}
	}
	return j.events[len(j.events)-1].At
}

func (j *journal) close() error { return j.file.Close() }

func (j *journal) add(e Event) error {
	j.remember(e)
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = j.file.Write(append(line, '\n'))
	return err
}

// event writes an event of the operation under way.
func (t *turn) event(m message, arguments ...any) {
	requestID := ""
	if t.u != nil {
		requestID = t.u.RequestID
	}
	t.write(t.e, requestID, m, arguments...)
}

// write writes an event of an environment.
func (p *Platform) write(e *Environment, requestID string, m message, arguments ...any) {
	version := e.Version
	if e.Update != nil && e.Update.Deploys {
		version = e.Update.Version
	}
	p.append(Event{Severity: m.severity, Message: fmt.Sprintf(m.text, arguments...), Application: e.Application,
		Environment: e.Name, EnvironmentID: e.ID, Version: version, RequestID: requestID})
}

func (p *Platform) append(event Event) {
	event.At = p.options.Clock.Now().Truncate(time.Millisecond)
	if err := p.events.add(event); err != nil {
		p.options.Log.Error("an event could not be written to disk", "error", err)
	}
	p.options.Log.Debug("event", "environment", event.Environment, "severity", event.Severity, "message", event.Message)
}

var severities = map[types.EventSeverity]int{
	types.EventSeverityTrace: 1, types.EventSeverityDebug: 2, types.EventSeverityInfo: 3,
	types.EventSeverityWarn: 4, types.EventSeverityError: 5, types.EventSeverityFatal: 6,
}

// DescribeEvents lists events, newest first. A token is the place in the journal to go on at, so
// that events which arrive between two pages shift nothing.
func (p *Platform) DescribeEvents(_ Call, in *eb.DescribeEventsInput) (*eb.DescribeEventsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := maxEventsPage
	if in.MaxRecords != nil {
		limit = min(int(*in.MaxRecords), maxEventsPage)
	}
	now := p.options.Clock.Now()
	from := len(p.events.events)
	if in.NextToken != nil {
		at, err := strconv.Atoi(*in.NextToken)
		if err != nil || at < 0 || at > from {
			return nil, invalid("Invalid NextToken: %.100s", *in.NextToken)
		}
		from = at
	}
	out := &eb.DescribeEventsOutput{Events: []types.EventDescription{}}
	oldest := now.Add(-eventAge)
	count, at := p.events.places(in, from)
	for n := count - 1; n >= 0; n-- {
		event := &p.events.events[at(n)]
		if event.At.Before(oldest) {
			break
		}
		if event.At.After(now.Add(-p.options.Pace.EventLag)) || !wanted(event, in) {
			continue
		}
		if len(out.Events) == limit {
			out.NextToken = aws.String(strconv.Itoa(at(n) + 1))
			break
		}
		out.Events = append(out.Events, event.described())
	}
	return out, nil
}

func wanted(event *Event, in *eb.DescribeEventsInput) bool {
	matches := func(filter *string, value string) bool { return filter == nil || *filter == value }
	return matches(in.ApplicationName, event.Application) &&
		matches(in.EnvironmentName, event.Environment) &&
		matches(in.EnvironmentId, event.EnvironmentID) &&
		matches(in.VersionLabel, event.Version) &&
		matches(in.RequestId, event.RequestID) &&
		in.TemplateName == nil && in.PlatformArn == nil && // events of which there are none
		severities[event.Severity] >= severities[in.Severity] &&
		(in.StartTime == nil || !event.At.Before(*in.StartTime)) &&
		(in.EndTime == nil || event.At.Before(*in.EndTime))
}

func (e *Event) described() types.EventDescription {
	return types.EventDescription{
		EventDate: aws.Time(e.At), Severity: e.Severity, Message: aws.String(e.Message),
		ApplicationName: optional(e.Application), EnvironmentName: optional(e.Environment),
		VersionLabel: optional(e.Version), RequestId: optional(e.RequestID),
	}
}

// optional is nil for the empty string, which AWS leaves out.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
