// Package signature checks AWS's Signature Version 4 on requests: in the Authorization header, and
// in the query of presigned URLs.
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Keys are the credentials that requests have to be signed with.
type Keys struct {
	AccessKeyID     string
	SecretAccessKey string
	Region          string
}

// Failure is what is wrong with a request's signature.
type Failure struct {
	// Kind of failure; the services have different codes for them.
	Kind Kind
	// Message in AWS's words.
	Message string
}

func (f *Failure) Error() string { return f.Message }

// Kind of failure.
type Kind int

// The kinds of failure.
const (
	Missing    Kind = iota // the request is not signed at all
	Incomplete             // it carries a signature that cannot be read
	UnknownKey             // nobody has that access key
	Expired                // it was signed too long ago, or in the future
	Mismatch               // signed with another secret, or changed on its way
)

const (
	algorithm   = "AWS4-HMAC-SHA256"
	dateLayout  = "20060102T150405Z"
	maxSkew     = 15 * time.Minute
	maxPresign  = 7 * 24 * time.Hour
	unsigned    = "UNSIGNED-PAYLOAD"
	hashHeader  = "X-Amz-Content-Sha256"
	mismatch    = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	missing     = "Request is missing Authentication Token"
	unknownKey  = "The security token included in the request is invalid."
	presignPart = "X-Amz-Signature"
)

// claim is what a request says of its signature.
type claim struct {
	key       string
	scope     []string // date, region, service, aws4_request
	headers   []string
	signature string
	at        time.Time
	payload   string // SHA-256 of the body, or a word that stands for none
}

// Service is the name of the service that a request says it is signed for, or nothing when it says
// none. Nothing is checked of it.
func Service(r *http.Request) string {
	credential := r.URL.Query().Get("X-Amz-Credential")
	if _, after, found := strings.Cut(r.Header.Get("Authorization"), "Credential="); found {
		credential, _, _ = strings.Cut(after, ",")
	}
	parts := strings.Split(strings.TrimSpace(credential), "/")
	if len(parts) != 5 {
		return ""
	}
	return parts[3]
}

// Check checks a request's signature for a service. The body is given to be hashed when the
// protocol has no header for that; it may be nil otherwise.
func Check(r *http.Request, body []byte, service string, keys Keys, now time.Time) error {
	c, err := read(r, body, now)
	if err != nil {
		return err
	}
	if c.key != keys.AccessKeyID {
		return &Failure{UnknownKey, unknownKey}
	}
	if c.scope[1] != keys.Region || c.scope[2] != service || c.scope[3] != "aws4_request" {
		return &Failure{Mismatch, fmt.Sprintf("Credential should be scoped to a valid region and service: expected %s/%s.", keys.Region, service)}
	}
	if c.scope[0] != c.at.Format("20060102") {
		return &Failure{Mismatch, "Date in Credential scope does not match the date of the request."}
	}
	if !hmac.Equal([]byte(sign(r, c, keys.SecretAccessKey)), []byte(c.signature)) {
		return &Failure{Mismatch, mismatch}
	}
	return nil
}

func read(r *http.Request, body []byte, now time.Time) (claim, error) {
	if r.URL.Query().Has(presignPart) {
		return readQuery(r.URL.Query(), now)
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return claim{}, &Failure{Missing, missing}
	}
	rest, found := strings.CutPrefix(header, algorithm)
	if !found {
		return claim{}, &Failure{Incomplete, "Authorization header requires the algorithm " + algorithm + "."}
	}
	fields := map[string]string{}
	for _, field := range strings.Split(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	c, err := newClaim(fields["Credential"], fields["SignedHeaders"], fields["Signature"], r.Header.Get("X-Amz-Date"))
	if err != nil {
		return c, err
	}
	if age := now.Sub(c.at); age > maxSkew || age < -maxSkew {
		return c, &Failure{Expired, fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 15 min.)",
			c.at.Format(dateLayout), now.Add(-maxSkew).Format(dateLayout), now.Format(dateLayout))}
	}
	c.payload = r.Header.Get(hashHeader)
	if c.payload == "" {
		sum := sha256.Sum256(body)
		c.payload = hex.EncodeToString(sum[:])
	}
	return c, nil
}

func readQuery(query url.Values, now time.Time) (claim, error) {
	c, err := newClaim(query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get(presignPart), query.Get("X-Amz-Date"))
	if err != nil {
		return c, err
	}
	seconds, err := strconv.Atoi(query.Get("X-Amz-Expires"))
	lifetime := time.Duration(seconds) * time.Second
	if err != nil || lifetime < 0 || lifetime > maxPresign {
		return c, &Failure{Incomplete, "X-Amz-Expires must be a number of seconds, less than a week."}
	}
	if now.After(c.at.Add(lifetime)) || c.at.Sub(now) > maxSkew {
		return c, &Failure{Expired, "Request has expired"}
	}
	c.payload = unsigned
	return c, nil
}

func newClaim(credential, headers, signature, date string) (claim, error) {
	parts := strings.Split(credential, "/")
	at, err := time.Parse(dateLayout, date)
	if len(parts) != 5 || headers == "" || signature == "" || err != nil {
		return claim{}, &Failure{Incomplete, "Authorization header requires existence of Credential, SignedHeaders, Signature and X-Amz-Date."}
	}
	return claim{key: parts[0], scope: parts[1:], headers: strings.Split(strings.ToLower(headers), ";"), signature: signature, at: at}, nil
}

// sign makes the signature that the request should have.
func sign(r *http.Request, c claim, secret string) string {
	canonical := strings.Join([]string{
		r.Method, path(r.URL, c.scope[2]), canonicalQuery(r.URL.Query()), canonicalHeaders(r, c.headers),
		strings.Join(c.headers, ";"), c.payload,
	}, "\n")
	digest := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{algorithm, c.at.Format(dateLayout), strings.Join(c.scope, "/"), hex.EncodeToString(digest[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range c.scope {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, text))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// path is the path in canonical form. S3 escapes it once; every other service does so twice.
func path(address *url.URL, service string) string {
	escaped := escapePath(address.Path)
	if service != "s3" {
		escaped = escapePath(escaped)
	}
	if escaped == "" {
		return "/"
	}
	return escaped
}

func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		parts[i] = escape(part)
	}
	return strings.Join(parts, "/")
}

// escape leaves the unreserved characters of RFC 3986 alone, and nothing else.
func escape(text string) string {
	return strings.NewReplacer("+", "%20", "%7E", "~", "*", "%2A").Replace(url.QueryEscape(text))
}

func canonicalQuery(query url.Values) string {
	query.Del(presignPart)
	var pairs []string
	for name, values := range query {
		for _, value := range values {
			pairs = append(pairs, escape(name)+"="+escape(value))
		}
	}
	sort.Strings(pairs)
	return strings.Join(pairs, "&")
}

func canonicalHeaders(r *http.Request, names []string) string {
	var out strings.Builder
	for _, name := range names {
		values := r.Header.Values(name)
		switch name {
		case "host": // Go's server takes these two out of the header
			values = []string{r.Host}
		case "content-length":
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		}
		trimmed := make([]string, len(values))
		for i, value := range values {
			trimmed[i] = strings.Join(strings.Fields(value), " ")
		}
		out.WriteString(name + ":" + strings.Join(trimmed, ",") + "\n")
	}
	return out.String()
}

// Body checks, while it is read, that a request's body is the one that was signed. It returns the
// body as it is when the request names no hash of it.
func Body(r *http.Request) io.ReadCloser {
	want := r.Header.Get(hashHeader)
	if len(want) != hex.EncodedLen(sha256.Size) {
		return r.Body
	}
	return &checkedBody{ReadCloser: r.Body, sum: sha256.New(), want: want}
}

type checkedBody struct {
	io.ReadCloser
	sum  hash.Hash
	want string
}

func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.sum.Write(p[:n])
	if err == io.EOF && hex.EncodeToString(b.sum.Sum(nil)) != b.want {
		return n, &Failure{Mismatch, "The provided 'x-amz-content-sha256' header does not match what was computed."}
	}
	return n, err
}

// Presign makes a URL that lets anyone read it until the given time has passed (a week at most).
func Presign(address, service string, keys Keys, now time.Time, valid time.Duration) (string, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("presign a URL: %w", err)
	}
	now = now.UTC()
	c := claim{scope: []string{now.Format("20060102"), keys.Region, service, "aws4_request"}, headers: []string{"host"}, at: now, payload: unsigned}
	parsed.RawQuery = url.Values{
		"X-Amz-Algorithm":     {algorithm},
		"X-Amz-Credential":    {keys.AccessKeyID + "/" + strings.Join(c.scope, "/")},
		"X-Amz-Date":          {now.Format(dateLayout)},
		"X-Amz-Expires":       {strconv.Itoa(int(min(valid, maxPresign).Seconds()))},
		"X-Amz-SignedHeaders": {"host"},
	}.Encode()
	request := &http.Request{Method: http.MethodGet, URL: parsed, Host: parsed.Host}
	parsed.RawQuery += "&" + presignPart + "=" + sign(request, c, keys.SecretAccessKey)
	return parsed.String(), nil
}
