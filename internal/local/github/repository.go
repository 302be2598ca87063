package github

import (
	"crypto/sha256"
	"time"

	"github.com/google/go-github/v60/github"
)

// Repository is what the stand-in knows of one repository. Its fields are read with Server.Read and
// set with Server.Change alone.
type Repository struct {
	Branches      map[string]string // name: head
	Tags          map[string]string // name: commit
	Annotated     map[string]string // name: commit, of tags that are objects of their own
	Commits       map[string]Commit
	Pulls         map[int]Pull
	Collaborators map[string]string // login: permission
	CheckRuns     []*github.CheckRun
	Statuses      []Status
	Deployments   []*Deployment
	Comments      []*Comment
	Reactions     []Reaction
	Deliveries    []*github.HookDelivery
	// Forbidden are routes below the repository, such as /check-runs, to which nothing may be written.
	Forbidden []string
}

// Commit is what a comparison and a look at a commit show.
type Commit struct {
	Message, Login, Type string
	Files                []string
}

// Pull is a pull request.
type Pull struct {
	HeadRef, HeadSHA, HeadRepository, BaseRef string
	Closed                                    bool
	MergeSHA                                  string // set when it was merged
}

// Status is a commit status, in the order of coming.
type Status struct {
	SHA string `json:"sha"`
	github.RepoStatus
}

// Deployment is a deployment with its statuses, in the order of coming.
type Deployment struct {
	github.Deployment
	Statuses []*github.DeploymentStatus
}

// Comment is a comment on an issue or pull request.
type Comment struct {
	Issue int
	github.IssueComment
	Edits int
}

// Reaction is a reaction to a comment.
type Reaction struct {
	Comment int64
	Content string
}

// Change changes a repository, which is made when it is not there yet.
func (s *Server) Change(fullName string, change func(*Repository)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	r := s.repositories[fullName]
	if r == nil {
		r = &Repository{
			Branches: map[string]string{}, Tags: map[string]string{}, Annotated: map[string]string{}, Commits: map[string]Commit{},
			Pulls: map[int]Pull{}, Collaborators: map[string]string{},
		}
		s.repositories[fullName] = r
	}
	change(r)
}

// Read looks at a repository.
func (s *Server) Read(fullName string, read func(*Repository)) { s.Change(fullName, read) }

// SetTeam says who is in a team, given as organization/team.
func (s *Server) SetTeam(team string, logins ...string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.teams[team] = append([]string{}, logins...)
}

// OnRedeliver is told which delivery of which hook ("owner/name/ID" or "app") shall be sent again.
func (s *Server) OnRedeliver(do func(hook string, delivery int64)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.redelivered = do
}

func sum(data []byte) []byte {
	digest := sha256.Sum256(data)
	return digest[:12]
}

func now() *github.Timestamp { return &github.Timestamp{Time: time.Now().UTC()} }
