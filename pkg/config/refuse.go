package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// refuse reports a value that is refused by its name because the store would run and harm or lose data, or hide it, if it
// went on without what the value asks for. It is asked for keys that are implemented and for those that are not.
func refuse(path, value string) error {
	switch {
	case path == "target":
		return refuseTarget(value)
	case strings.HasSuffix(path, "kvstore.store"):
		return refuseRing(value)
	case strings.HasSuffix(path, "_shipper.mode"):
		if value != "" && value != "RW" {
			return fmt.Errorf("the mode %q is not supported, only RW: every member reads and writes", value)
		}
	case strings.HasSuffix(path, "delete_request_store_db_type"):
		if value == "sqlite" {
			return errors.New("delete requests in SQLite are not supported, only boltdb: let Loki finish or cancel the requests, " +
				"then remove the key")
		}
	case path == "ingester.kafka_ingestion.enabled":
		if on, _ := parseBool(value); on {
			return errors.New("reading pushes from Kafka is not supported: set it to false and push to the store itself")
		}
	case slices.Contains(foreignCommonStores, path):
		if value != "" {
			return errors.New("this object store is not supported in common.storage, only s3 and filesystem: the rules and chunks in it " +
				"would not be found")
		}
	case path == "storage_config.boltdb_shipper.shared_store", path == "storage_config.tsdb_shipper.shared_store",
		path == "compactor.shared_store", path == "compactor.delete_request_store":
		if slices.Contains(foreignStores, value) {
			return fmt.Errorf("the object store %q is %w", value, errStoreUnsupported)
		}
	}
	return nil
}

// foreignStores are the object stores that Loki knows and this store does not.
var foreignStores = []string{
	"gcs", "azure", "swift", "bos", "cos", "alibabacloud", "gcs-thanos", "azure-thanos", "swift-thanos", "bos-thanos",
	"alibaba-thanos", "cassandra", "bigtable", "bigtable-hashed", "gcp", "gcp-columnkey", "aws-dynamo", "grpc-store",
}

// foreignCommonStores are keys that say that everything lives in such a store.
var foreignCommonStores = []string{
	"common.storage.gcs.bucket_name", "common.storage.azure.account_name", "common.storage.azure.connection_string",
	"common.storage.swift.container_name", "common.storage.bos.bucket_name", "common.storage.cos.bucketnames",
	"common.storage.alibabacloud.bucket",
}

func refuseTarget(value string) error {
	for target := range strings.SplitSeq(value, ",") {
		if strings.TrimSpace(target) != "all" {
			return fmt.Errorf("the target %q is not supported, only all: each member does everything; "+
				"start as many equal members as you need", value)
		}
	}
	return nil
}

func refuseRing(value string) error {
	switch value {
	case "", RingInMemory, RingMemberlist:
		return nil
	}
	return fmt.Errorf("a ring in %q is not supported, only %s (several members) or %s (one member)",
		value, RingMemberlist, RingInMemory)
}
