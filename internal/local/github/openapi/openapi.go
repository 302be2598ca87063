// Package openapi checks requests against GitHub's own description of its API. Only tests use it.
// The description is a file of the npm package @octokit/openapi, which .ci/run puts into the user's
// cache folder.
package openapi

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Path is where the description is expected: GRAVITY_GITHUB_OPENAPI, or a file in the cache folder.
func Path() (string, error) {
	if path := os.Getenv("GRAVITY_GITHUB_OPENAPI"); path != "" {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "gravity", "npm", "openapi", "package", "generated", "api.github.com.json"), err
}

// Checker finds what in a request GitHub's description does not allow.
type Checker struct{ router routers.Router }

// Load reads the description, once in a process.
var Load = sync.OnceValues(func() (*Checker, error) {
	path, err := Path()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("GitHub's API description is not here: %w; .ci/run fetches it", err)
	}
	description, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	// The stand-in is reached by another address than the one in the description.
	description.Servers = openapi3.Servers{{URL: "/"}}
	router, err := gorillamux.NewRouter(description)
	if err != nil {
		return nil, fmt.Errorf("read the routes of %s: %w", path, err)
	}
	return &Checker{router}, nil
})

// Check answers with what is wrong: a route that there is not, a parameter or a body out of shape.
func (c *Checker) Check(request *http.Request) error {
	route, parameters, err := c.router.FindRoute(foldRef(request))
	if err != nil {
		return fmt.Errorf("GitHub has no such route: %w", err)
	}
	err = openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{
		Request: request, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	})
	if err != nil {
		return err
	}
	return knownQuery(request, route)
}

// foldRef takes the slashes out of a ref in a path: GitHub takes refs as they are, which a description of
// paths cannot say.
func foldRef(request *http.Request) *http.Request {
	before, ref, found := strings.Cut(request.URL.Path, "/git/ref/")
	if !found {
		return request
	}
	folded := request.Clone(request.Context())
	folded.URL.Path = before + "/git/ref/" + strings.ReplaceAll(ref, "/", "-")
	return folded
}

// knownQuery finds query parameters that the description does not have: GitHub would ignore them.
func knownQuery(request *http.Request, route *routers.Route) error {
	known := map[string]bool{}
	for _, parameters := range []openapi3.Parameters{route.PathItem.Parameters, route.Operation.Parameters} {
		for _, parameter := range parameters {
			if parameter.Value.In == openapi3.ParameterInQuery {
				known[parameter.Value.Name] = true
			}
		}
	}
	var unknown []string
	for name := range request.URL.Query() {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("%s takes no parameter %s", route.Path, strings.Join(unknown, ", "))
	}
	return nil
}
