package beanstalk

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func numbered(number int) string {
	return fmt.Sprintf("site-202601%02dT000000Z-abcdefabcdef", number)
}

// prunable is an account with ten versions of the pipeline, the newest first, and versions of others.
func prunable(removed *[]string) *fakeAPI {
	return &fakeAPI{
		versions: func(*elasticbeanstalk.DescribeApplicationVersionsInput) ([]types.ApplicationVersionDescription, error) {
			all := []types.ApplicationVersionDescription{
				{VersionLabel: aws.String("by-hand")}, {VersionLabel: aws.String("site-api-20250101T000000Z-abcdefabcdef")},
				{VersionLabel: aws.String("site-20250101T000000Z-by-hand")},
			}
			for number := 10; number > 0; number-- {
				all = append(all, types.ApplicationVersionDescription{VersionLabel: aws.String(numbered(number))})
			}
			return all, nil
		},
		environments: func(context.Context, []string) ([]types.EnvironmentDescription, error) {
			return []types.EnvironmentDescription{{VersionLabel: aws.String(numbered(2))}}, nil
		},
		deleteVersion: func(in *elasticbeanstalk.DeleteApplicationVersionInput) error {
			if !aws.ToBool(in.DeleteSourceBundle) {
				return refused("Test", "the bundle would stay for ever")
			}
			*removed = append(*removed, aws.ToString(in.VersionLabel))
			return nil
		},
	}
}

func TestPruningRemovesTheOldestAndNeverWhatIsDeployedOrNeeded(t *testing.T) {
	var removed []string
	client := NewFromAPI(prunable(&removed), DefaultPace)
	answered, err := client.Prune(t.Context(), "site", "site", 5, func(l string) bool { return l == numbered(4) })
	require.NoError(t, err)
	require.Equal(t, []string{numbered(1), numbered(3), numbered(5)}, removed)
	require.Equal(t, removed, answered)
}

func TestNothingIsPrunedWhileThereIsRoom(t *testing.T) {
	var removed []string
	api := prunable(&removed)
	api.environments = nil // not even asked
	_, err := NewFromAPI(api, DefaultPace).Prune(t.Context(), "site", "site", 10, func(string) bool { return false })
	require.NoError(t, err)
	require.Empty(t, removed)
}

func TestPruningStopsWhenThePlatformAsksForFewerCalls(t *testing.T) {
	var removed []string
	api := prunable(&removed)
	api.deleteVersion = func(*elasticbeanstalk.DeleteApplicationVersionInput) error {
		return refused("Throttling", "Rate exceeded")
	}
	_, err := NewFromAPI(api, DefaultPace).Prune(t.Context(), "site", "site", 5, func(string) bool { return false })
	require.Equal(t, delivery.Throttled, delivery.TypeOf(err))
	require.Equal(t, 1, api.count("DeleteApplicationVersion"))
}
