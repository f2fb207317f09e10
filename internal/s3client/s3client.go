// Package s3client reaches S3 and what speaks like it: one way of connecting, and one meaning of its errors.
//
// It stores nothing itself. Everything here asks the server as little as possible: New sends no request.
package s3client

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/stall"
)

const (
	defaultEndpoint = "https://s3.amazonaws.com"

	// How long a host may take to accept a connection, and a server to say or take anything at all once it
	// is connected, if Config.Timeout does not say otherwise. Together with attempts they bound how long an
	// unreachable endpoint goes unnoticed: three minutes for one that accepts connections and says nothing.
	dialTimeout  = 4 * time.Second
	stallTimeout = 45 * time.Second
	// attempts is how often a request is sent before its error is believed; minio waits at most a second between.
	attempts = 4
)

// Config says how a server is reached.
type Config struct {
	Endpoint string // http://127.0.0.1:9000; empty means Amazon's
	Region   string // empty means us-east-1, or what the server says
	CA       string // path of a PEM file with the authority of the server's certificate; empty means the system's

	// Timeout is how long the server may say and take nothing before a request is given up; 0 takes 45 s.
	Timeout time.Duration

	// Patience is how long a server that throttles, fails or has gone away is waited for, with each request; 0 takes five
	// minutes.
	Patience time.Duration

	// AccessKey and SecretKey may be left out: then the environment (AWS_ACCESS_KEY_ID …), the shared
	// credentials file and the machine's role are asked, in this order.
	AccessKey    secret.Value
	SecretKey    secret.Value
	SessionToken secret.Value
}

// New makes a client. It sends no request.
//
// Errors: ErrConfig if the endpoint or the CA file is not usable.
func New(c Config) (*minio.Client, error) {
	endpoint := c.Endpoint
	if endpoint == "" {
		endpoint = defaultEndpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("S3 endpoint %q: want http://HOST:PORT or https://HOST: %w", redactUser(endpoint), cofre.ErrConfig)
	}
	if u.User != nil {
		return nil, cofre.WithHint(fmt.Errorf("S3 endpoint %q carries credentials: %w", redactUser(endpoint), cofre.ErrConfig),
			cofre.Say("store.keys", "give the keys by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or in the configuration, never in an address"))
	}
	transport, err := newTransport(c)
	if err != nil {
		return nil, err
	}
	client, err := minio.New(u.Host, &minio.Options{
		Secure:       u.Scheme == "https",
		Creds:        newCredentials(c),
		Region:       c.Region,
		Transport:    asked{transport},
		BucketLookup: bucketLookup(u.Host),
		MaxRetries:   attempts,
		// TrailingHeaders stays off: versitygw answers 400 BadDigest to them.
	})
	if err != nil {
		return nil, fmt.Errorf("S3 endpoint %q: %v: %w", endpoint, err, cofre.ErrConfig)
	}
	return client, nil
}

// Plain makes a client for requests that the library only signs.
//
// Errors: ErrConfig if the CA file is not usable.
func Plain(c Config) (*http.Client, error) {
	transport, err := newTransport(c)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: asked{transport}}, nil
}

// bucketLookup takes the path style everywhere but at Amazon, which is giving it up.
func bucketLookup(host string) minio.BucketLookupType {
	if strings.HasSuffix(strings.ToLower(host), ".amazonaws.com") {
		return minio.BucketLookupAuto
	}
	return minio.BucketLookupPath
}

func newCredentials(c Config) *credentials.Credentials {
	if !c.AccessKey.IsZero() || !c.SecretKey.IsZero() {
		return credentials.NewStaticV4(c.AccessKey.Reveal(), c.SecretKey.Reveal(), c.SessionToken.Reveal())
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.FileAWSCredentials{},
		// The address it asks exists in a cloud only; elsewhere the answer must not be waited for long.
		&credentials.IAM{Client: &http.Client{Timeout: dialTimeout}},
	})
}

func newTransport(c Config) (*http.Transport, error) {
	silence := cmp.Or(c.Timeout, stallTimeout)
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w: %w", err, cofre.ErrConfig)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s holds no certificate in PEM: %w", c.CA, cofre.ErrConfig)
		}
	}
	dialer := &net.Dialer{Timeout: min(dialTimeout, silence), KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           stall.Dial(dialer, silence),
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   min(dialTimeout, silence),
		ResponseHeaderTimeout: silence,
		IdleConnTimeout:       stallTimeout / 2,
		MaxIdleConnsPerHost:   16,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		DisableCompression:    true,
	}, nil
}

// Condition returns the condition of package cofre that an error of a client or of a body it returned means, or
// nil if there is none, as for a cancelled context.
//
// Errors: cofre.ErrNotFound for an object, cofre.ErrNoRepo for a bucket that does not exist, cofre.ErrExists, cofre.ErrDenied,
// cofre.ErrDiskFull (quotas, too), cofre.ErrUnreachable (a server that throttles or fails, too).
func Condition(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		return conditionOf(answer)
	}
	var netErr net.Error
	var opErr *net.OpError
	var urlErr *url.Error
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		errors.As(err, &opErr), errors.As(err, &urlErr), errors.As(err, &netErr), errors.Is(err, net.ErrClosed):
		return cofre.ErrUnreachable
	}
	return nil
}

// Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func conditionOf(answer minio.ErrorResponse) error {
	switch answer.Code {
	case "NoSuchKey", "NoSuchVersion":
		return cofre.ErrNotFound
	case "NoSuchBucket":
		return cofre.ErrNoRepo
	case "PreconditionFailed":
		return cofre.ErrExists
	case "AccessDenied", "AccountProblem", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurity",
		"InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "UnauthorizedAccess",
		"XAdminUserNotFound": // versitygw's InvalidAccessKeyId, with status 404
		return cofre.ErrDenied
	case "InsufficientCapacity", "QuotaExceeded", "StorageFull", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded":
		return cofre.ErrDiskFull
	case "SlowDown", "ServiceUnavailable", "RequestTimeout", "BusyException":
		return cofre.ErrUnreachable
	}
	switch {
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		return cofre.ErrDenied
	case answer.StatusCode == http.StatusNotFound:
		return cofre.ErrNotFound
	case answer.StatusCode == http.StatusPreconditionFailed:
		return cofre.ErrExists
	case answer.StatusCode == http.StatusInsufficientStorage, strings.Contains(answer.Message, "no space left on device"):
		return cofre.ErrDiskFull
	case answer.StatusCode >= http.StatusInternalServerError, answer.StatusCode == http.StatusTooManyRequests:
		return cofre.ErrUnreachable
	}
	return nil
}

// answerOf returns the code and the status of an error that a server answered, or a status of 0.
func answerOf(err error) (code string, status int) {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		return answer.Code, answer.StatusCode
	}
	return "", 0
}

func isAnswer(err error) bool {
	_, status := answerOf(err)
	return status != 0
}

// Hint returns what a person can do about an error of condition, or "".
func Hint(err, condition error, c Config, bucket string) cofre.Message {
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return cofre.Say("s3.certificate", "give the certificate of the authority that signed the server's: ca=/path/to/ca.pem")
	case errors.Is(condition, cofre.ErrDenied):
		return cofre.Say("s3.rights", "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, their rights on bucket {{.bucket}}, and the clock of this machine", "bucket", bucket)
	case errors.Is(condition, cofre.ErrNoRepo):
		return cofre.Say("s3.create_bucket", "create the bucket {{.bucket}} first; cofre never does", "bucket", bucket)
	case errors.Is(condition, cofre.ErrUnreachable):
		endpoint := c.Endpoint
		if endpoint == "" {
			endpoint = defaultEndpoint
		}
		return cofre.Say("s3.answers", "check that {{.endpoint}} answers from this machine", "endpoint", endpoint)
	}
	return cofre.Message{}
}

func redactUser(endpoint string) string {
	if i := strings.LastIndexByte(endpoint, '@'); i >= 0 {
		return "[redacted]" + endpoint[i:]
	}
	return endpoint
}
