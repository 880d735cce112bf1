// Package dynamotest runs DynamoDB Local for tests, in a container that ends with the test binary.
package dynamotest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/storetest"
)

// Image is the image of DynamoDB Local. docker-compose.yml has the same.
const Image = "amazon/dynamodb-local:3.3.1"

var shared struct {
	sync.Once
	container testcontainers.Container
	endpoint  string
	err       error
}

// Main runs a package's tests, then terminates the container if one was started. It returns the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	if shared.container != nil {
		if err := testcontainers.TerminateContainer(shared.container); err != nil {
			fmt.Fprintln(os.Stderr, "terminate DynamoDB Local:", err)
			code = max(code, 1)
		}
	}
	return code
}

// Config returns a client's settings for DynamoDB Local, which the first call in a test binary starts. Without Docker
// it calls storetest.Lacks.
func Config(t testing.TB) aws.Config {
	t.Helper()
	shared.Do(func() {
		defer func() { // testcontainers panics if it finds no Docker
			if r := recover(); r != nil {
				shared.err = fmt.Errorf("%v", r)
			}
		}()
		shared.container, shared.endpoint, shared.err = start()
	})
	if shared.err != nil {
		storetest.Lacks(t, "DynamoDB Local in Docker", shared.err)
	}
	return ConfigOf(shared.endpoint)
}

// ConfigOf returns a client's settings for an endpoint that ignores credentials.
func ConfigOf(endpoint string) aws.Config {
	return aws.Config{
		Region:       "eu-central-1",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
}

// Environment returns the settings as environment variables that the SDK reads, for other programs.
func Environment(cfg aws.Config) []string {
	return []string{
		"AWS_REGION=" + cfg.Region,
		"AWS_ENDPOINT_URL_DYNAMODB=" + *cfg.BaseEndpoint,
		"AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=test",
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

func start() (testcontainers.Container, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	container, err := testcontainers.Run(ctx, Image,
		testcontainers.WithCmd("-jar", "DynamoDBLocal.jar", "-inMemory", "-sharedDb"),
		testcontainers.WithExposedPorts("8000/tcp"),
		testcontainers.WithWaitStrategy(wait.ForListeningPort("8000/tcp")))
	if err != nil {
		return container, "", err
	}
	endpoint, err := container.PortEndpoint(ctx, "8000/tcp", "http")
	return container, endpoint, err
}

// NewTable creates a notes table for one test and returns its name. The table is deleted when the test ends.
func NewTable(t testing.TB, cfg aws.Config) string {
	t.Helper()
	table := dynamo.Table("notes-" + uuid.NewString())
	table.DeletionProtectionEnabled = aws.Bool(false)
	client := dynamodb.NewFromConfig(cfg)
	if _, err := client.CreateTable(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := client.DeleteTable(context.Background(),
			&dynamodb.DeleteTableInput{TableName: table.TableName}); err != nil {
			t.Error(err)
		}
	})
	return *table.TableName
}
