package platform

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
)

// How long logs can be retrieved, and how much of them.
const (
	logLifetime       = 15 * time.Minute
	failedLogLifetime = time.Hour // of instances of an immutable update that failed
	tailLines         = 100
	maxLogFile        = 16 << 20 // bytes of each file
)

// Log is a sample of an instance's logs that was put into S3.
type Log struct {
	Instance string
	Kind     types.EnvironmentInfoType
	Key      string
	At       time.Time
	Until    time.Time
}

// LogRequest is a sample of the logs that was asked for and is not there yet.
type LogRequest struct {
	RequestID string
	Kind      types.EnvironmentInfoType
}

// RequestEnvironmentInfo begins to collect the logs of every instance. They can be retrieved a
// moment later.
func (p *Platform) RequestEnvironmentInfo(call Call, in *eb.RequestEnvironmentInfoInput) (*eb.RequestEnvironmentInfoOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.environment(in.EnvironmentName, in.EnvironmentId)
	if err != nil {
		return nil, err
	}
	if in.InfoType == types.EnvironmentInfoTypeAnalyze {
		return nil, invalid("InfoType analyze is not available in this region.")
	}
	p.write(e, call.RequestID, msgLogsStarting)
	asked := LogRequest{RequestID: call.RequestID, Kind: in.InfoType}
	e.LogsAsked = append(e.LogsAsked, asked)
	p.save(e)
	p.collectLater(e, asked)
	return &eb.RequestEnvironmentInfoOutput{}, nil
}

func (p *Platform) collectLater(e *Environment, asked LogRequest) {
	p.later(p.options.Pace.Step, func() {
		for _, i := range e.staying() {
			p.collectLogs(e, i, asked.Kind, logLifetime)
		}
		e.LogsAsked = slices.DeleteFunc(e.LogsAsked, func(other LogRequest) bool { return other == asked })
		p.write(e, asked.RequestID, msgLogsCompleted)
		p.save(e)
	})
}

// collectLogs puts a sample of an instance's logs into the account's bucket.
func (p *Platform) collectLogs(e *Environment, i *Instance, kind types.EnvironmentInfoType, lifetime time.Duration) {
	now := p.now()
	folder := filepath.Join(p.disk(i), "logs")
	suffix, sample := "txt", tails
	if kind == types.EnvironmentInfoTypeBundle {
		suffix, sample = "zip", zipFolder
	}
	content, err := sample(folder)
	key := fmt.Sprintf("resources/environments/logs/%s/%s/%s/%d.%s", kind, e.ID, i.ID, now.UnixMilli(), suffix)
	if err == nil {
		err = p.options.Objects.EnsureBucket(p.StorageBucket())
	}
	if err == nil {
		err = p.options.Objects.Put(p.StorageBucket(), key, nil, bytes.NewReader(content))
	}
	if err != nil {
		p.options.Log.Warn("an instance's logs could not be collected", "instance", i.ID, "error", err)
		return
	}
	e.Logs = append(e.Logs, Log{Instance: i.ID, Kind: kind, Key: key, At: now, Until: now.Add(lifetime)})
}

// RetrieveEnvironmentInfo lists the logs that were collected: URLs that anyone can read for a while.
func (p *Platform) RetrieveEnvironmentInfo(_ Call, in *eb.RetrieveEnvironmentInfoInput) (*eb.RetrieveEnvironmentInfoOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.environment(in.EnvironmentName, in.EnvironmentId)
	if err != nil {
		return nil, err
	}
	now := p.now()
	out := &eb.RetrieveEnvironmentInfoOutput{EnvironmentInfo: []types.EnvironmentInfoDescription{}}
	var current []Log
	for _, log := range e.Logs {
		if now.After(log.Until) {
			_ = p.options.Objects.Delete(p.StorageBucket(), log.Key) // a leftover costs space and nothing else
			continue
		}
		current = append(current, log)
		if log.Kind != in.InfoType {
			continue
		}
		url, err := p.options.Presign(p.StorageBucket(), log.Key, log.Until.Sub(now))
		if err != nil {
			return nil, internal(err)
		}
		out.EnvironmentInfo = append(out.EnvironmentInfo, types.EnvironmentInfoDescription{
			Ec2InstanceId: aws.String(log.Instance), InfoType: log.Kind, SampleTimestamp: aws.Time(log.At), Message: aws.String(url)})
	}
	e.Logs = current
	return out, nil
}

// logFiles are the names of the log files in a folder, sorted.
func logFiles(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			names = append(names, entry.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// tails are the last lines of every log, one after the other, each under its name.
func tails(folder string) ([]byte, error) {
	names, err := logFiles(folder)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, name := range names {
		content, err := readEnd(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
		lines = lines[max(len(lines)-tailLines, 0):]
		fmt.Fprintf(&out, "----------------------------------------\n/var/log/%s\n----------------------------------------\n%s\n\n",
			name, strings.Join(lines, "\n"))
	}
	return out.Bytes(), nil
}

// readEnd reads a file, or the end of a large one.
func readEnd(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read only
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	start := max(info.Size()-maxLogFile, 0)
	return io.ReadAll(io.NewSectionReader(file, start, maxLogFile))
}

func zipFolder(folder string) ([]byte, error) {
	names, err := logFiles(folder)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, name := range names {
		content, err := readEnd(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		entry, err := archive.Create("var/log/" + name)
		if err != nil {
			return nil, err
		}
		if _, err := entry.Write(content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
