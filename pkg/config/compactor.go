package config

import "time"

// Compactor is the block `compactor`: merging of index tables, retention and deletes.
type Compactor struct {
	WorkingDirectory            string        `loki:"working_directory"`
	SharedStore                 string        `loki:"shared_store"` // Loki 2; empty: the period's object_store
	SharedStoreKeyPrefix        string        `loki:"shared_store_key_prefix"`
	CompactionInterval          time.Duration `loki:"compaction_interval"`
	ApplyRetentionInterval      time.Duration `loki:"apply_retention_interval"` // 0: with each compaction
	RetentionEnabled            bool          `loki:"retention_enabled"`
	RetentionDeleteDelay        time.Duration `loki:"retention_delete_delay"`
	RetentionDeleteWorkerCount  int           `loki:"retention_delete_worker_count"`
	RetentionTableTimeout       time.Duration `loki:"retention_table_timeout"`
	DeleteRequestStore          string        `loki:"delete_request_store"`
	DeleteRequestStoreKeyPrefix string        `loki:"delete_request_store_key_prefix"`
	DeleteRequestStoreDBType    string        `loki:"delete_request_store_db_type"`
	DeleteBatchSize             int           `loki:"delete_batch_size"`
	DeleteRequestCancelPeriod   time.Duration `loki:"delete_request_cancel_period"`
	DeleteMaxInterval           time.Duration `loki:"delete_max_interval"`
	MaxCompactionParallelism    int           `loki:"max_compaction_parallelism"`
	UploadParallelism           int           `loki:"upload_parallelism"`
	TablesToCompact             int           `loki:"tables_to_compact"`
	SkipLatestNTables           int           `loki:"skip_latest_n_tables"`
	CompactorRing               ServiceRing   `loki:"compactor_ring"`
	// DeletionMode is where old files put limits_config.deletion_mode; it stands for that key.
	DeletionMode string `loki:"deletion_mode" allow:"|disabled|filter-only|filter-and-delete|whole-stream-deletion"`
}

func defaultCompactor() Compactor {
	return Compactor{
		SharedStoreKeyPrefix:        indexPathPrefix,
		CompactionInterval:          10 * time.Minute,
		RetentionDeleteDelay:        2 * time.Hour,
		RetentionDeleteWorkerCount:  150,
		DeleteRequestStoreKeyPrefix: indexPathPrefix,
		DeleteRequestStoreDBType:    "boltdb",
		DeleteBatchSize:             70,
		DeleteRequestCancelPeriod:   24 * time.Hour,
		DeleteMaxInterval:           24 * time.Hour,
		MaxCompactionParallelism:    1,
		UploadParallelism:           10,
		CompactorRing:               ServiceRing{KVStore: KVStore{Store: RingInMemory}},
	}
}
