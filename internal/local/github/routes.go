package github

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"
)

type object = map[string]any

func (s *Server) routes() http.Handler {
	routes := http.NewServeMux()
	s.people(routes)
	s.commits(routes)
	s.tellings(routes)
	s.hooks(routes)
	s.installations(routes)
	routes.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fail(w, http.StatusNotFound, "Not Found") })
	return routes
}

// at finds the repository of a request. The lock is held.
func (s *Server) at(r *http.Request) *Repository {
	return s.repositories[r.PathValue("owner")+"/"+r.PathValue("repo")]
}

// in adds a route below a repository.
func (s *Server) in(routes *http.ServeMux, method, path string, answer func(*Repository, *http.Request, []byte) (int, any)) {
	s.handle(routes, method+" /repos/{owner}/{repo}"+path, func(r *http.Request, body []byte) (int, any) {
		repository := s.at(r)
		if repository == nil {
			return 0, nil
		}
		if r.Method != http.MethodGet && slices.Contains(repository.Forbidden, path) {
			return http.StatusForbidden, object{"message": "Resource not accessible by integration"}
		}
		return answer(repository, r, body)
	})
}

func (s *Server) people(routes *http.ServeMux) {
	s.handle(routes, "GET /orgs/{org}/teams/{team}", func(r *http.Request, _ []byte) (int, any) {
		if _, known := s.teams[r.PathValue("org")+"/"+r.PathValue("team")]; !known {
			return 0, nil
		}
		return http.StatusOK, object{"id": 1, "slug": r.PathValue("team"), "name": r.PathValue("team")}
	})
	s.handle(routes, "GET /orgs/{org}/teams/{team}/memberships/{user}", func(r *http.Request, _ []byte) (int, any) {
		if !slices.Contains(s.teams[r.PathValue("org")+"/"+r.PathValue("team")], r.PathValue("user")) {
			return 0, nil
		}
		return http.StatusOK, object{"url": r.URL.Path, "role": "member", "state": "active"}
	})
	s.in(routes, "GET", "/collaborators/{user}/permission", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		permission := repository.Collaborators[r.PathValue("user")]
		if permission == "" {
			permission = "read" // of a public repository
		}
		return http.StatusOK, object{"permission": permission, "role_name": permission, "user": object{"login": r.PathValue("user")}}
	})
}

func (s *Server) commits(routes *http.ServeMux) {
	s.in(routes, "GET", "/branches", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		names := make([]string, 0, len(repository.Branches))
		for name := range repository.Branches {
			names = append(names, name)
		}
		slices.Sort(names)
		branches := []object{}
		for _, name := range page(names, r) {
			branches = append(branches, object{"name": name, "commit": object{"sha": repository.Branches[name]}, "protected": false})
		}
		return http.StatusOK, branches
	})
	s.in(routes, "GET", "/git/ref/{ref...}", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		ref := r.PathValue("ref")
		sha := repository.Branches[strings.TrimPrefix(ref, "heads/")]
		if tag, isTag := strings.CutPrefix(ref, "tags/"); isTag {
			sha = repository.Tags[tag]
			if repository.Annotated[tag] != "" {
				return http.StatusOK, object{"ref": "refs/" + ref, "object": object{"type": "tag", "sha": "tag-" + tag}}
			}
		}
		if sha == "" {
			return 0, nil
		}
		return http.StatusOK, object{"ref": "refs/" + ref, "object": object{"type": "commit", "sha": sha}}
	})
	s.in(routes, "GET", "/git/tags/{sha}", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		sha := repository.Annotated[strings.TrimPrefix(r.PathValue("sha"), "tag-")]
		if sha == "" {
			return 0, nil
		}
		return http.StatusOK, object{"object": object{"type": "commit", "sha": sha}}
	})
	s.in(routes, "GET", "/commits/{ref}", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		sha := r.PathValue("ref")
		commit, known := repository.Commits[sha]
		if !known {
			return 0, nil
		}
		return http.StatusOK, describe(sha, commit)
	})
	s.in(routes, "GET", "/compare/{basehead}", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		_, head, _ := strings.Cut(r.PathValue("basehead"), "...")
		commit, known := repository.Commits[head]
		if !known {
			return 0, nil
		}
		return http.StatusOK, object{"status": "ahead", "total_commits": 1, "commits": []object{describe(head, commit)}, "files": files(commit)}
	})
	s.in(routes, "GET", "/commits/{ref}/pulls", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		pulls := []object{}
		for number, pull := range repository.Pulls {
			if pull.HeadSHA == r.PathValue("ref") || pull.MergeSHA == r.PathValue("ref") {
				pulls = append(pulls, describePull(number, pull))
			}
		}
		return http.StatusOK, pulls
	})
	s.in(routes, "GET", "/pulls/{number}", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		number, _ := strconv.Atoi(r.PathValue("number"))
		pull, known := repository.Pulls[number]
		if !known {
			return 0, nil
		}
		return http.StatusOK, describePull(number, pull)
	})
}

func describe(sha string, commit Commit) object {
	return object{
		"sha": sha, "commit": object{"message": commit.Message, "author": object{"name": commit.Login}},
		"author": object{"login": commit.Login, "type": commit.Type}, "files": files(commit),
	}
}

func files(commit Commit) []object {
	list := []object{}
	for _, name := range commit.Files {
		list = append(list, object{"filename": name, "status": "modified"})
	}
	return list
}

func describePull(number int, pull Pull) object {
	state := "open"
	if pull.Closed {
		state = "closed"
	}
	described := object{
		"number": number, "state": state, "merged": pull.MergeSHA != "", "merge_commit_sha": pull.MergeSHA,
		"base": object{"ref": pull.BaseRef},
		"head": object{"ref": pull.HeadRef, "sha": pull.HeadSHA, "repo": object{"full_name": pull.HeadRepository}},
	}
	if pull.HeadRepository == "" {
		described["head"].(object)["repo"] = nil
	}
	return described
}

// nextPage hands the address of the next page to where the answer is written.
const nextPage = "X-Next-Page"

// page is the part of a list that a request asks for.
func page[T any](list []T, r *http.Request) []T {
	size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
	if size <= 0 {
		size = 30
	}
	number, _ := strconv.Atoi(r.URL.Query().Get("page"))
	from := min(len(list), (max(1, number)-1)*size)
	if to := from + size; to < len(list) {
		next := *r.URL
		query := next.Query()
		query.Set("page", strconv.Itoa(max(1, number)+1))
		next.RawQuery = query.Encode()
		r.Header.Set(nextPage, next.String())
		return list[from:to]
	}
	return list[from:]
}

func (s *Server) tellings(routes *http.ServeMux) {
	s.statuses(routes)
	s.deployments(routes)
	s.checkRuns(routes)
	s.comments(routes)
}

func (s *Server) statuses(routes *http.ServeMux) {
	s.in(routes, "POST", "/statuses/{sha}", func(repository *Repository, r *http.Request, body []byte) (int, any) {
		status := Status{SHA: r.PathValue("sha")}
		if json.Unmarshal(body, &status.RepoStatus) != nil || len(status.GetDescription()) > 140 {
			return http.StatusUnprocessableEntity, object{"message": "Validation Failed"}
		}
		repository.Statuses = append(repository.Statuses, status)
		return http.StatusCreated, status.RepoStatus
	})
	s.in(routes, "GET", "/commits/{ref}/status", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		latest := map[string]Status{}
		for _, status := range repository.Statuses {
			if status.SHA == r.PathValue("ref") {
				latest[status.GetContext()] = status
			}
		}
		list := []github.RepoStatus{}
		for _, status := range latest {
			list = append(list, status.RepoStatus)
		}
		return http.StatusOK, object{"sha": r.PathValue("ref"), "total_count": len(list), "statuses": list}
	})
}

func (s *Server) deployments(routes *http.ServeMux) {
	s.in(routes, "GET", "/deployments", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		query, found := r.URL.Query(), []github.Deployment{}
		for _, deployment := range slices.Backward(repository.Deployments) {
			if deployment.GetSHA() == query.Get("sha") && deployment.GetEnvironment() == query.Get("environment") {
				found = append(found, deployment.Deployment)
			}
		}
		return http.StatusOK, found
	})
	s.in(routes, "POST", "/deployments", func(repository *Repository, _ *http.Request, body []byte) (int, any) {
		var wanted github.DeploymentRequest
		if json.Unmarshal(body, &wanted) != nil || wanted.GetRef() == "" {
			return http.StatusUnprocessableEntity, object{"message": "Validation Failed"}
		}
		payload, err := json.Marshal(wanted.Payload)
		if err != nil {
			return http.StatusUnprocessableEntity, object{"message": "Validation Failed"}
		}
		made := &Deployment{Deployment: github.Deployment{
			ID: github.Int64(s.id()), SHA: wanted.Ref, Ref: wanted.Ref, Task: wanted.Task, Payload: payload,
			Environment: wanted.Environment, Description: wanted.Description, CreatedAt: now(), UpdatedAt: now(),
		}}
		repository.Deployments = append(repository.Deployments, made)
		return http.StatusCreated, made.Deployment
	})
	s.in(routes, "POST", "/deployments/{id}/statuses", func(repository *Repository, r *http.Request, body []byte) (int, any) {
		for _, deployment := range repository.Deployments {
			if strconv.FormatInt(deployment.GetID(), 10) != r.PathValue("id") {
				continue
			}
			status := &github.DeploymentStatus{}
			if json.Unmarshal(body, status) != nil || len(status.GetDescription()) > 140 {
				return http.StatusUnprocessableEntity, object{"message": "Validation Failed"}
			}
			status.ID = github.Int64(s.id())
			deployment.Statuses = append(deployment.Statuses, status)
			return http.StatusCreated, status
		}
		return 0, nil
	})
}

func (s *Server) checkRuns(routes *http.ServeMux) {
	s.in(routes, "GET", "/commits/{ref}/check-runs", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		found := []*github.CheckRun{}
		for _, run := range repository.CheckRuns {
			name := r.URL.Query().Get("check_name")
			if run.GetHeadSHA() == r.PathValue("ref") && (name == "" || name == run.GetName()) {
				found = append(found, run)
			}
		}
		return http.StatusOK, object{"total_count": len(found), "check_runs": page(found, r)}
	})
	s.in(routes, "POST", "/check-runs", func(repository *Repository, _ *http.Request, body []byte) (int, any) {
		run := &github.CheckRun{}
		if json.Unmarshal(body, run) != nil || run.GetName() == "" || run.Output != nil && len(run.Output.Annotations) > 50 {
			return http.StatusUnprocessableEntity, object{"message": "Validation Failed"}
		}
		run.ID = github.Int64(s.id())
		repository.CheckRuns = append(repository.CheckRuns, run)
		return http.StatusCreated, run
	})
	s.in(routes, "PATCH", "/check-runs/{id}", func(repository *Repository, r *http.Request, body []byte) (int, any) {
		for _, run := range repository.CheckRuns {
			if strconv.FormatInt(run.GetID(), 10) != r.PathValue("id") {
				continue
			}
			var before []*github.CheckRunAnnotation
			if run.Output != nil {
				before = run.Output.Annotations
				run.Output = nil
			}
			if json.Unmarshal(body, run) != nil || run.Output != nil && len(run.Output.Annotations) > 50 {
				return http.StatusUnprocessableEntity, object{"message": "Validation Failed"}
			}
			if run.Output == nil {
				run.Output = &github.CheckRunOutput{}
			}
			run.Output.Annotations = append(before, run.Output.Annotations...) // GitHub adds them
			return http.StatusOK, run
		}
		return 0, nil
	})
}

func (s *Server) comments(routes *http.ServeMux) {
	// One pattern for /issues/{number}/comments and /issues/comments/{id}, which a mux takes for the same.
	s.in(routes, "GET", "/issues/{first}/{second}", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		if r.PathValue("first") != "comments" {
			found := []github.IssueComment{}
			for _, comment := range repository.Comments {
				if strconv.Itoa(comment.Issue) == r.PathValue("first") {
					found = append(found, comment.IssueComment)
				}
			}
			return http.StatusOK, page(found, r)
		}
		for _, comment := range repository.Comments {
			if strconv.FormatInt(comment.GetID(), 10) == r.PathValue("second") {
				return http.StatusOK, comment.IssueComment
			}
		}
		return 0, nil
	})
	s.in(routes, "POST", "/issues/{number}/comments", func(repository *Repository, r *http.Request, body []byte) (int, any) {
		number, _ := strconv.Atoi(r.PathValue("number"))
		comment := &Comment{Issue: number}
		if json.Unmarshal(body, &comment.IssueComment) != nil || comment.GetBody() == "" {
			return http.StatusUnprocessableEntity, object{"message": "Validation Failed"}
		}
		comment.ID, comment.User = github.Int64(s.id()), &github.User{Login: github.String("gravity[bot]")}
		repository.Comments = append(repository.Comments, comment)
		return http.StatusCreated, comment.IssueComment
	})
	s.in(routes, "PATCH", "/issues/comments/{id}", func(repository *Repository, r *http.Request, body []byte) (int, any) {
		for _, comment := range repository.Comments {
			if strconv.FormatInt(comment.GetID(), 10) == r.PathValue("id") {
				if json.Unmarshal(body, &comment.IssueComment) != nil {
					return http.StatusUnprocessableEntity, object{"message": "Validation Failed"}
				}
				comment.Edits++
				return http.StatusOK, comment.IssueComment
			}
		}
		return 0, nil
	})
	s.in(routes, "POST", "/issues/comments/{id}/reactions", func(repository *Repository, r *http.Request, body []byte) (int, any) {
		id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
		var reaction github.Reaction
		if json.Unmarshal(body, &reaction) != nil {
			return http.StatusUnprocessableEntity, object{"message": "Validation Failed"}
		}
		repository.Reactions = append(repository.Reactions, Reaction{id, reaction.GetContent()})
		return http.StatusCreated, object{"id": s.id(), "content": reaction.GetContent()}
	})
}

func (s *Server) hooks(routes *http.ServeMux) {
	again := func(hook string, r *http.Request) (int, any) {
		id, err := strconv.ParseInt(r.PathValue("delivery"), 10, 64)
		if err != nil {
			return 0, nil
		}
		if s.redelivered != nil {
			go s.redelivered(hook, id)
		}
		return http.StatusAccepted, object{}
	}
	s.in(routes, "GET", "/hooks/{hook}/deliveries", func(repository *Repository, r *http.Request, _ []byte) (int, any) {
		return http.StatusOK, page(repository.Deliveries, r)
	})
	s.in(routes, "POST", "/hooks/{hook}/deliveries/{delivery}/attempts", func(_ *Repository, r *http.Request, _ []byte) (int, any) {
		return again(r.PathValue("owner")+"/"+r.PathValue("repo")+"/"+r.PathValue("hook"), r)
	})
	s.handle(routes, "GET /app/hook/deliveries", func(r *http.Request, _ []byte) (int, any) {
		all := []*github.HookDelivery{}
		for _, repository := range s.repositories {
			all = append(all, repository.Deliveries...)
		}
		return http.StatusOK, page(all, r)
	})
	s.handle(routes, "POST /app/hook/deliveries/{delivery}/attempts", func(r *http.Request, _ []byte) (int, any) {
		return again("app", r)
	})
}

func (s *Server) installations(routes *http.ServeMux) {
	found := func(*http.Request, []byte) (int, any) { return http.StatusOK, object{"id": 7} }
	s.handle(routes, "GET /repos/{owner}/{repo}/installation", found)
	s.handle(routes, "GET /orgs/{org}/installation", found)
	s.handle(routes, "POST /app/installations/{id}/access_tokens", func(*http.Request, []byte) (int, any) {
		return http.StatusCreated, object{"token": "ghs_standin", "expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}
	})
}
