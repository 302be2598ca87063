package notice

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"gravity/internal/delivery"
	"gravity/internal/refusal"
)

// SNS publishes CloudEvents to a topic; a FIFO topic keeps their order and drops what is sent twice.
type SNS struct{ client *sns.Client }

// NewSNS makes the receiver.
func NewSNS(config aws.Config) *SNS { return &SNS{sns.NewFromConfig(config)} }

// Tell implements Receiver.
func (s *SNS) Tell(ctx context.Context, m Message, memory Memory) error {
	e, body, err := event(m)
	if err != nil || memory.told("id", e.ID) {
		return err
	}
	topic, err := arn.Parse(m.Target)
	if err != nil {
		return delivery.Errorf(delivery.InvalidInput, "%s is no topic's ARN: %w", m.Target, err)
	}
	input := &sns.PublishInput{
		TopicArn: &m.Target, Message: aws.String(string(body)), Subject: aws.String(subject(m)),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"type":     {DataType: aws.String("String"), StringValue: &e.Type},
			"pipeline": {DataType: aws.String("String"), StringValue: &m.Pipeline},
		},
	}
	if strings.HasSuffix(topic.Resource, ".fifo") {
		input.MessageGroupId, input.MessageDeduplicationId = aws.String(short(m.RunID)), aws.String(short(e.ID))
	}
	_, err = s.client.Publish(ctx, input, func(o *sns.Options) { o.Region = topic.Region })
	if err != nil {
		return snsError(err)
	}
	memory["id"] = e.ID
	return nil
}

// subject is what SNS takes for an e-mail's: printable ASCII, below 100 characters.
func subject(m Message) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '-'
		}
		return r
	}, title(m.Notice))
	return text[:min(len(text), 99)]
}

// short keeps within the 128 characters of a FIFO topic's IDs.
func short(id string) string { return id[max(0, len(id)-128):] }

func snsError(err error) error {
	err = refusal.Wrap(err, "publish to SNS", nil)
	if delivery.TypeOf(err) == delivery.AccessDenied {
		return fmt.Errorf("%w; docs/aws.md lists what the worker must be allowed", err)
	}
	return err
}
