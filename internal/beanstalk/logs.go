package beanstalk

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

	"gravity/internal/delivery"
)

// What is read of the instances' logs: of how many instances, how many bytes of a sample, and how
// many lines of a file.
const (
	maxLogInstances = 2
	maxLogBytes     = 8 << 20
	maxFileLines    = 4
)

// tails asks the instances for the end of their logs, and answers with the last lines of them, those
// of ill instances first. The platform takes some seconds to fetch them.
func (c *Client) tails(ctx context.Context, environmentID string, instances []delivery.Instance) []string {
	samples, err := c.freshTails(ctx, environmentID, len(instances))
	if err != nil {
		return []string{line("the instances' logs could not be read: " + err.Error())}
	}
	ill := map[string]bool{}
	for _, i := range instances {
		ill[i.ID] = i.HealthStatus != "Ok" || i.Deployment != "Deployed"
	}
	slices.SortStableFunc(samples, func(a, b types.EnvironmentInfoDescription) int {
		return cmp.Compare(rank(!ill[aws.ToString(a.Ec2InstanceId)]), rank(!ill[aws.ToString(b.Ec2InstanceId)]))
	})
	return c.read(ctx, samples, func(content []byte) []logFile { return sections(string(content)) })
}

func rank(last bool) int {
	if last {
		return 1
	}
	return 0
}

// failedLogs are the logs that the platform itself kept of the instances that an update launched and
// ended again when it failed. They can be had for an hour.
func (c *Client) failedLogs(ctx context.Context, environmentID string, since time.Time) []string {
	samples, err := c.samples(ctx, environmentID, types.EnvironmentInfoTypeBundle)
	if err != nil {
		return []string{line("the ended instances' logs could not be read: " + err.Error())}
	}
	return c.read(ctx, after(samples, since), unpacked)
}

// freshTails asks for samples, and waits until there is one of each instance, or for as long as it may. What
// is new is told by the platform's own clock.
func (c *Client) freshTails(ctx context.Context, environmentID string, instances int) ([]types.EnvironmentInfoDescription, error) {
	before, err := c.samples(ctx, environmentID, types.EnvironmentInfoTypeTail)
	if err != nil {
		return nil, err
	}
	var latest time.Time
	for _, sample := range before {
		if at := aws.ToTime(sample.SampleTimestamp); at.After(latest) {
			latest = at
		}
	}
	_, err = c.api.RequestEnvironmentInfo(ctx, &elasticbeanstalk.RequestEnvironmentInfoInput{
		EnvironmentId: aws.String(environmentID), InfoType: types.EnvironmentInfoTypeTail,
	})
	if err != nil {
		return nil, classify(err, "asking for the instances' logs")
	}
	var fresh []types.EnvironmentInfoDescription
	for {
		select {
		case <-ctx.Done():
			if len(fresh) == 0 {
				return nil, errors.New("they did not come in time")
			}
			return fresh, nil
		case <-time.After(c.pace.Fast):
		}
		all, err := c.samples(ctx, environmentID, types.EnvironmentInfoTypeTail)
		if err != nil && !passes(err) {
			return nil, err
		}
		if err == nil {
			fresh = after(all, latest)
		}
		if len(fresh) > 0 && len(fresh) >= instances {
			return fresh, nil
		}
	}
}

func (c *Client) samples(ctx context.Context, environmentID string, kind types.EnvironmentInfoType) ([]types.EnvironmentInfoDescription, error) {
	out, err := c.api.RetrieveEnvironmentInfo(ctx, &elasticbeanstalk.RetrieveEnvironmentInfoInput{
		EnvironmentId: aws.String(environmentID), InfoType: kind,
	})
	if err != nil {
		return nil, classify(err, "reading the instances' logs")
	}
	return out.EnvironmentInfo, nil
}

func after(samples []types.EnvironmentInfoDescription, moment time.Time) []types.EnvironmentInfoDescription {
	return slices.DeleteFunc(slices.Clone(samples), func(s types.EnvironmentInfoDescription) bool {
		return !aws.ToTime(s.SampleTimestamp).After(moment)
	})
}

// read fetches samples and gives the last lines of the files in them.
func (c *Client) read(ctx context.Context, samples []types.EnvironmentInfoDescription, open func([]byte) []logFile) []string {
	samples = samples[:min(len(samples), maxLogInstances)]
	var lines []string
	for i, sample := range samples {
		instance := aws.ToString(sample.Ec2InstanceId)
		content, err := c.fetch(ctx, aws.ToString(sample.Message))
		if err != nil {
			lines = append(lines, line(fmt.Sprintf("the logs of %s could not be read: %v", instance, err)))
			continue
		}
		left := (maxLogLines - len(lines)) / (len(samples) - i)
		for _, file := range byWeight(open(content)) {
			kept := file.end(min(left, maxFileLines))
			for _, text := range kept {
				lines = append(lines, line(fmt.Sprintf("%s %s: %s", instance, path.Base(file.name), text)))
			}
			left -= len(kept)
		}
	}
	return lines
}

// fetch reads what the platform put into S3. Its address is as good as a password for it, and goes
// nowhere.
func (c *Client) fetch(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("their address is none")
	}
	response, err := c.http.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the address
		}
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("S3 answered %d", response.StatusCode)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxLogBytes))
}

// logFile is one log of an instance.
type logFile struct{ name, text string }

// end is the last lines that say something.
func (f logFile) end(limit int) []string {
	var kept []string
	for text := range strings.SplitSeq(f.text, "\n") {
		if strings.TrimSpace(text) != "" {
			kept = append(kept, strings.TrimSpace(text))
		}
	}
	return kept[max(0, len(kept)-limit):]
}

// byWeight orders logs by how likely they are to say why: those of the application, then the
// platform's. What was requested, and the routine of its agents, says nothing.
func byWeight(files []logFile) []logFile {
	files = slices.DeleteFunc(files, func(f logFile) bool {
		return strings.Contains(f.name, "access") || strings.Contains(f.name, "healthd")
	})
	slices.SortStableFunc(files, func(a, b logFile) int {
		return cmp.Compare(rank(strings.Contains(a.name, "eb-")), rank(strings.Contains(b.name, "eb-")))
	})
	return files
}

// sections parts a sample of tails: each log stands under its name between two rules.
func sections(sample string) []logFile {
	var files []logFile
	lines := strings.Split(sample, "\n")
	for i := 0; i < len(lines); i++ {
		if i+2 < len(lines) && isRule(lines[i]) && isRule(lines[i+2]) {
			files = append(files, logFile{name: strings.TrimSpace(lines[i+1])})
			i += 2
			continue
		}
		if len(files) > 0 {
			files[len(files)-1].text += lines[i] + "\n"
		}
	}
	return files
}

func isRule(text string) bool {
	text = strings.TrimSpace(text)
	return len(text) >= 10 && strings.Trim(text, "-") == ""
}

// unpacked opens a bundle of logs. What is no zip has no logs.
func unpacked(content []byte) []logFile {
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil
	}
	var files []logFile
	for _, entry := range archive.File[:min(len(archive.File), maxLogEntries)] {
		if !strings.HasSuffix(entry.Name, ".log") {
			continue
		}
		if text, err := unpackEnd(entry); err == nil {
			files = append(files, logFile{name: entry.Name, text: text})
		}
	}
	return files
}

const (
	maxLogEntries = 100
	// logEnd is how much of the end of a log is looked at, in bytes.
	logEnd = 16 << 10
)

// unpackEnd reads the end of a file whose unpacked size nobody vouches for.
func unpackEnd(entry *zip.File) (string, error) {
	reader, err := entry.Open()
	if err != nil {
		return "", err
	}
	defer func() { _ = reader.Close() }()
	limited := io.LimitReader(reader, maxLogBytes)
	var end []byte
	buffer := make([]byte, logEnd)
	for {
		n, err := io.ReadFull(limited, buffer)
		end = append(end, buffer[:n]...)
		end = end[max(0, len(end)-logEnd):]
		if err != nil {
			return string(end), nil
		}
	}
}

// pendingLogs are the instances' logs, asked for before it is known whether anyone needs them.
type pendingLogs struct {
	cancel context.CancelFunc
	lines  chan []string
}

// begin asks for them once.
func (p *pendingLogs) begin(ctx context.Context, c *Client, o delivery.Observation) {
	if p.cancel != nil {
		return
	}
	ctx, p.cancel = context.WithTimeout(ctx, logPatience)
	lines := make(chan []string, 1) // its own: by the time they come, others may be asked for
	p.lines = lines
	go func() { lines <- c.tails(ctx, o.ID, o.Instances) }()
}

// soFar is what came until now.
func (p *pendingLogs) soFar() []string {
	select {
	case lines := <-p.lines:
		return lines
	default:
		return nil
	}
}

// stop forgets them.
func (p *pendingLogs) stop() {
	if p.cancel != nil {
		p.cancel()
		*p = pendingLogs{}
	}
}
