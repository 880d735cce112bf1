package main

import (
	"testing"

	"example.com/portable-notes/notes/dynamo/dynamotest"
)

func testMain(m *testing.M) int { return dynamotest.Main(m) }
