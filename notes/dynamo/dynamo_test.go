package dynamo_test

import (
	"io"
	"log/slog"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/dynamo/dynamotest"
	"example.com/portable-notes/notes/storetest"
)

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func open(t testing.TB, cfg aws.Config, table string) *dynamo.Store {
	t.Helper()
	store, err := dynamo.Open(t.Context(), cfg, table, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestStore uses a patient store, because DynamoDB Local may be slow on a shared machine.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) notes.Store {
		cfg := dynamotest.Config(t)
		return open(t, cfg, dynamotest.NewTable(t, cfg)).Patient()
	})
}
