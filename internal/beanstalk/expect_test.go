package beanstalk

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"

	"gravity/internal/delivery"
)

// story is what the platform said of an update, a message each so many seconds after its beginning.
func story(began time.Time, request string, said ...any) []delivery.Event {
	var events []delivery.Event
	for i := 0; i < len(said); i += 2 {
		events = append(events, delivery.Event{
			At: began.Add(time.Duration(said[i].(int)) * time.Second), Message: said[i+1].(string), RequestID: request,
		})
	}
	return events
}

func TestAnUpdateIsLookedAtMostWhenTheLastOneSaysThatItIsDue(t *testing.T) {
	last := story(monday, "r-1", 0, "Environment update is starting.", 100, "Waiting for instance(s) (i-1) to pass health checks.",
		200, "Waiting for instance(s) (i-2) to pass health checks.", 400, "Deployment succeeded. Terminating old instances.", 480, "Environment update completed successfully.")
	api := &fakeAPI{events: func(in *elasticbeanstalk.DescribeEventsInput) ([]types.EventDescription, error) {
		assert.Equal(t, monday.Add(time.Hour+time.Second), aws.ToTime(in.EndTime), "up to the end of the last update")
		var newestFirst []types.EventDescription
		for _, event := range last {
			newestFirst = append([]types.EventDescription{{EventDate: aws.Time(event.At), Message: aws.String(event.Message), RequestId: aws.String(event.RequestID)}}, newestFirst...)
		}
		return newestFirst, nil
	}}
	client := NewFromAPI(api, DefaultPace)
	updating := with(onV1(), func(o *delivery.Observation) { o.Status, o.Abortable = "Updating", true })
	x := client.learn(t.Context(), updating, monday.Add(time.Hour))

	began := monday.Add(time.Hour)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	assert.Equal(t, at(10), x.next(updating, at(0), time.Time{}), "what has just changed is not about to end: the last update took minutes")
	assert.Equal(t, at(480).Add(-x.margin), x.next(updating, at(450), time.Time{}), "it takes as long as the last one, until its own events tell more")
	x.hear(story(began, "r-2", 0, "Environment update is starting.", 110, "Waiting for instance(s) (i-3) to pass health checks."))
	assert.Equal(t, at(180), x.next(updating, at(120), time.Time{}), "nothing can end it yet")
	x.hear(story(began, "r-2", 0, "Environment update is starting.", 110, "Waiting for instance(s) (i-3) to pass health checks.",
		230, "Waiting for instance(s) (i-4) to pass health checks.", 440, "Deployment succeeded. Terminating old instances."))
	assert.Equal(t, at(440+80).Add(-x.margin), x.next(updating, at(510), time.Time{}), "by the event that came last")
	assert.Equal(t, at(519), x.next(updating, at(518), time.Time{}))
	assert.LessOrEqual(t, x.next(updating, at(700), time.Time{}), at(710), "it is late, and no longer looked for in vain every second")

	ready := with(updating, func(o *delivery.Observation) { o.Status, o.Abortable = "Ready", false })
	assert.Equal(t, at(713), x.next(ready, at(710), at(713)), "when a rule of the stage is decided")
	assert.Equal(t, at(720), x.next(ready, at(710), at(740)), "health reports come every ten seconds")
}

func TestWithoutAnUpdateToLearnFromLooksGetRarerAndFrequentInTheLastPhase(t *testing.T) {
	client := NewFromAPI(&fakeAPI{}, DefaultPace)
	updating := with(onV1(), func(o *delivery.Observation) { o.Status, o.Abortable = "Updating", true })
	x := client.learn(t.Context(), updating, monday)
	now, looks := monday, 0
	for ; now.Before(monday.Add(10 * time.Minute)); looks++ {
		now = x.next(updating, now, time.Time{})
	}
	assert.LessOrEqual(t, looks, 20)
	last := with(updating, func(o *delivery.Observation) { o.Abortable = false })
	x.next(last, now, time.Time{})
	now = now.Add(5 * time.Minute)
	assert.Equal(t, now.Add(DefaultPace.Slow), x.next(last, now, time.Time{}))
}
