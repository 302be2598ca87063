package main

import (
	"context"

	"gravity/internal/beanstalk"
)

// tour is where everything is, once all of it runs.
type tour struct {
	Sites    []siteAddress `json:"sites"`
	Temporal string        `json:"temporal"`
	WebUI    string        `json:"webUI"`
	// Repository is the clone URL.
	Repository string `json:"repository"`
	AWS        string `json:"aws"`
	Webhook    string `json:"webhook"`
	// Config and Log are paths, as people would type them here.
	Config string `json:"config"`
	Log    string `json:"log"`
}

// siteAddress is an environment with its public address.
type siteAddress struct {
	Stage       string `json:"stage"`
	Environment string `json:"environment"`
	URL         string `json:"url"`
}

// show prints where everything is, and what to try next.
func (f *upFlags) show(p *progress, s *stack) {
	p.doing("")
	t := tour{
		Sites: s.sites(), Temporal: s.temporal.Address(), WebUI: s.temporal.UIURL(), Repository: s.git.CloneURL(siteRepository),
		AWS: s.platform.URL(), Webhook: s.receiver, Config: shown(s.configPath()), Log: shown(f.logPath()),
	}
	if p.json {
		p.up(t)
		return
	}
	p.title("Gravity is up")
	var rows [][]string
	for _, site := range t.Sites {
		rows = append(rows, []string{site.Environment, site.URL})
	}
	rows = append(rows,
		[]string{"Temporal's web UI", t.WebUI},
		[]string{"git repository", t.Repository},
		[]string{"AWS endpoint", t.AWS},
		[]string{"log", t.Log},
	)
	table(p.out, "  ", rows)
	if f.demo {
		return
	}
	p.say(`
Try:
  git clone %s /tmp/site && cd /tmp/site
  # change the <title> of index.html, commit, and push: a new release
  # change the words of the page: its test fails, and nothing is deployed
  # in Procfile, serve --page indx.html: its health check fails, and it is taken back
In another terminal:
  export TEMPORAL_ADDRESS=%s GRAVITY_CONFIG=%s
  go run ./starter status
  go run ./starter watch %s
Ctrl-C ends everything; the next start continues.`, t.Repository, t.Temporal, t.Config, s.config.Pipelines[0].Name)
}

// sites lists the environments of the pipeline.
func (s *stack) sites() []siteAddress {
	platform := beanstalk.New(s.platform.Config(), s.options.Worker)
	pipeline := s.config.Pipelines[0]
	var sites []siteAddress
	for _, stage := range pipeline.Stages {
		observed, err := platform.OfStage(context.Background(), pipeline.Application, stage)
		if err != nil {
			s.warn("looking for "+stage.Environment, err)
			continue
		}
		sites = append(sites, siteAddress{Stage: stage.Name, Environment: stage.Environment, URL: "http://" + observed.Address})
	}
	return sites
}
