package aws_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
	"gravity/internal/local/aws/query"
	"gravity/internal/local/aws/service"
)

// stacks is a service of one operation, as one beside Beanstalk would be.
type stacks struct {
	*query.API
	ground service.Ground
	closed bool
}

type describeInput struct{ StackName *string }

type describeOutput struct{ StackId *string }

func (s *stacks) describe(_ service.Call, in *describeInput) (*describeOutput, error) {
	if *in.StackName == "gone" {
		return nil, &service.Fault{Code: "ValidationError", Message: "Stack with id gone does not exist", Status: http.StatusBadRequest}
	}
	id := *in.StackName + " in " + s.ground.Region
	return &describeOutput{StackId: &id}, nil
}

func (s *stacks) Close() error { s.closed = true; return nil }

func TestAFurtherServiceAnswersTheCallsThatAreSignedForIt(t *testing.T) {
	t.Parallel()
	further := &stacks{}
	folder := t.TempDir()
	s := start(t, func(o *aws.Options) {
		o.DataDir = folder
		o.Register(service.Registration{Name: "madeup", Open: func(ground service.Ground) (service.Service, error) {
			further.ground = ground
			further.API = &query.API{Service: "AWSCloudFormation", Namespace: "http://cloudformation.amazonaws.com/doc/2010-05-15/", Version: "2010-05-15",
				Operations: map[string]query.Operation{"DescribeStack": query.Of(further.describe, "StackName")}}
			return further, nil
		}})
	})
	ask := func(parameters string) (int, string) {
		recorder := signed(t, s.server, "madeup", http.MethodPost, "/", "application/x-www-form-urlencoded", []byte(parameters+"&Version=2010-05-15"))
		return recorder.Code, recorder.Body.String()
	}
	status, body := ask("Action=DescribeStack&StackName=" + url.QueryEscape("site"))
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, `<DescribeStackResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStackResult><StackId>site in us-east-1</StackId>`)
	status, body = ask("Action=DescribeStack&StackName=gone")
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Contains(t, body, "<Message>Stack with id gone does not exist</Message>")
	_, body = ask("Action=DescribeStack")
	assert.Contains(t, body, "Value null at &#39;stackName&#39; failed to satisfy constraint: Member must not be null")
	_, body = ask("Action=DescribeEnvironments")
	assert.Contains(t, body, "<Code>InvalidAction</Code>", "which is another service's")

	assert.Equal(t, 3, s.server.Calls()["madeup DescribeStack"])
	assert.Equal(t, filepath.Join(folder, "madeup"), further.ground.DataDir)
	require.NoError(t, s.server.SetFaults(aws.Faults{ThrottleCalls: 1}))
	_, body = ask("Action=DescribeStack&StackName=site")
	assert.Contains(t, body, "<Code>Throttling</Code>", "faults of calls are those of every service")
	require.NoError(t, s.server.Close())
	assert.True(t, further.closed)
}
