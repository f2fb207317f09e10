package alerts_test

// An installation in which all is well, as it is scraped: of each series its first value, and what each minute adds. Time begins at 0.
var healthy = map[string]values{
	`cofre_build_info{goversion="go1.26",version="1"}`: {1, 0},
	`cofre_status_known`:                                                   {1, 0},
	`cofre_status_timestamp_seconds`:                                       {0, 60},
	`cofre_verdict{verdict="ok"}`:                                          {1, 0},
	`cofre_verdict{verdict="at_risk"}`:                                     {0, 0},
	`cofre_area_known{area="repository"}`:                                  {1, 0},
	`cofre_area_known{area="catalog"}`:                                     {1, 0},
	`cofre_area_known{area="points"}`:                                      {1, 0},
	`cofre_area_known{area="journal"}`:                                     {1, 0},
	`cofre_area_known{area="wal"}`:                                         {1, 0},
	`cofre_area_known{area="server"}`:                                      {1, 0},
	`cofre_area_known{area="space"}`:                                       {1, 0},
	`cofre_area_known{area="size"}`:                                        {1, 0},
	`cofre_journal_consistent`:                                             {1, 0},
	`cofre_journal_entries`:                                                {100, 1},
	`cofre_recovery_points_gone`:                                           {0, 0},
	`cofre_backups_restorable{kind="database",source="app"}`:               {7, 0},
	`cofre_backups_damaged{kind="database",source="app"}`:                  {0, 0},
	`cofre_backup_failed{kind="database",source="app"}`:                    {0, 0},
	`backup_s3_upload_success{kind="database",source="app"}`:               {1, 0},
	`cofre_backup_overdue_seconds{kind="database",source="app"}`:           {0, 0},
	`cofre_backup_expected_interval_seconds{kind="database",source="app"}`: {86400, 0},
	`cofre_rpo_seconds{kind="database",source="app"}`:                      {40000, 60}, // the cluster brings the same back
	`cofre_recovery_window_continuous{kind="database",source="app"}`:       {0, 0},
	`cofre_rpo_seconds{kind="storage",source="docs"}`:                      {3500, 0}, // it is backed up each hour
	`cofre_rpo_target_seconds{kind="storage",source="docs"}`:               {3600, 0},
	`cofre_recovery_window_continuous{kind="storage",source="docs"}`:       {0, 0},
	`cofre_rpo_seconds{kind="cluster",source="main"}`:                      {900, 0},
	`cofre_rpo_target_seconds{kind="cluster",source="main"}`:               {3600, 0},
	`cofre_recovery_window_continuous{kind="cluster",source="main"}`:       {1, 0},
	`cofre_wal_open_gaps{kind="cluster",source="main"}`:                    {0, 0},
	`cofre_wal_archiving_failing{kind="cluster",source="main"}`:            {0, 0},
	`cofre_wal_streamed{kind="cluster",source="second"}`:                   {1, 0},
	`cofre_wal_ready_segments{kind="cluster",source="main"}`:               {16, 0},
	`cofre_pg_wal_free_bytes{kind="cluster",source="main"}`:                {50e9, 0},
	`cofre_wal_repository_reachable{repository="/srv/repo"}`:               {1, 0},
	`cofre_wal_repository_reachable{repository="s3://copy"}`:               {1, 0},
	`cofre_wal_repository_gaps{repository="s3://copy"}`:                    {0, 0},
	`cofre_wal_repository_damaged_segments{repository="s3://copy"}`:        {0, 0},
	`cofre_unverified_since_timestamp_seconds`:                             {0, 0},
	`cofre_verification_window_seconds`:                                    {2592000, 0},
	`cofre_verification_open_findings`:                                     {0, 0},
	`cofre_repository_full_seconds`:                                        {1209600, 0},
	`cofre_drill_red{kind="database",source="app"}`:                        {0, 0},
	`cofre_drill_overdue_seconds{kind="database",source="app"}`:            {0, 0},
	`cofre_rto_seconds{kind="database",source="app"}`:                      {14400, 0},
	`cofre_rto_target_seconds`:                                             {14400, 0},
	`cofre_repository_free_bytes`:                                          {20e9, 0},
	`cofre_repository_largest_backup_bytes`:                                {10e9, 0},
	`cofre_next_hold_end_timestamp_seconds`:                                {280000, 0},
	`cofre_running_seconds{task="backup database"}`:                        {0, 0},
	`cofre_window_seconds{task="backup database"}`:                         {7200, 0},
}

// trial is one fault and the one rule that it fires, and what is nearly that fault and fires nothing.
type trial struct {
	fault  string
	rule   string
	is     map[string]values   // in place of what is healthy
	nearly []map[string]values // each fires nothing at all
	after  int                 // minutes until it is so
	gone   bool                // after these minutes nothing is scraped any more
	never  bool                // nothing was ever scraped
	labels string              // of the alert, beside those of the target; "-" if it has not even these
	value  string              // as the sentence has it
	along  []string            // rules that fire as well, because they say how long it has been so
	not    string              // a rule that looks alike, and does not fire, not even after these minutes
	later  int
}

const (
	app  = `{kind="database",source="app"}`
	main = `{kind="cluster",source="main"}`
)

type of = map[string]values

var trials = []trial{
	{fault: "the agent is killed", rule: "CofreAgentAbsent", gone: true, after: 11},
	{fault: "no agent was ever there", rule: "CofreAgentAbsent", never: true, labels: "-"},
	{fault: "looking takes too long", rule: "CofreStatusUnknown", is: of{`cofre_status_known`: {0, 0}}},
	{fault: "the repository is away", rule: "CofreRepositoryUnreachable", is: of{`cofre_area_known{area="repository"}`: {0, 0}}},
	{fault: "the catalog cannot be read", rule: "CofreRepositoryUnreachable", is: of{`cofre_area_known{area="catalog"}`: {0, 0}}},
	{fault: "the server cannot be asked", rule: "CofreAreaUnknown", is: of{`cofre_area_known{area="server"}`: {0, 0}}, labels: `area="server"`},
	{fault: "the journal cannot be read", rule: "CofreAreaUnknown", is: of{`cofre_area_known{area="journal"}`: {0, 0}, `cofre_journal_consistent`: missing}, labels: `area="journal"`},
	{fault: "the journal was changed", rule: "CofreJournalInconsistent", is: of{`cofre_journal_consistent`: {0, 0}, `cofre_area_known{area="journal"}`: {0, 0}}, not: "CofreAreaUnknown", later: 60},
	{fault: "the repository was rolled back", rule: "CofreJournalShrunk", is: of{`cofre_journal_entries`: {100, -1}}, nearly: []of{{`cofre_journal_entries`: {100, 0}}}, after: 1},
	{fault: "the journal is shown as if there were none", rule: "CofreJournalShrunk", is: of{`cofre_journal_entries`: ending}, after: 11},
	{fault: "the journal cannot be read, after it could", rule: "CofreAreaUnknown", is: of{`cofre_journal_entries`: ending, `cofre_area_known{area="journal"}`: {0, 0}, `cofre_journal_consistent`: missing}, labels: `area="journal"`, not: "CofreJournalShrunk", later: 60},
	{fault: "a point was deleted", rule: "CofreRecoveryPointsGone", is: of{`cofre_recovery_points_gone`: {1, 0}}},
	{fault: "points are hidden", rule: "CofreRecoveryPointsGone", is: of{`cofre_area_known{area="points"}`: {0, 0}}, labels: `area="points"`},
	{fault: "no backup is whole", rule: "CofreBackupMissing", is: of{`cofre_backups_restorable` + app: {0, 0}, `backup_s3_upload_success` + app: {0, 0}}, nearly: []of{{`cofre_backups_restorable` + app: {1, 0}}}, labels: app, not: "CofreUploadFailing", later: 300},
	{fault: "a backup fails", rule: "CofreBackupFailed", is: of{`cofre_backup_failed` + app: {1, 0}, `backup_s3_upload_success` + app: {0, 0}}, labels: app},
	{fault: "no backup arrives", rule: "CofreUploadFailing", is: of{`cofre_backup_failed` + app: {1, 0}, `backup_s3_upload_success` + app: {0, 0}, `cofre_backups_restorable` + app: {1, 0}}, labels: app, along: []string{"CofreBackupFailed"}},
	{fault: "a backup is late", rule: "CofreBackupOverdue", is: of{`cofre_backup_overdue_seconds` + app: {1, 0}}, labels: app, value: "1s"},
	{fault: "a backup is late by nearly its interval", rule: "CofreBackupOverdue", is: of{`cofre_backup_overdue_seconds` + app: {86400, 0}}, labels: app, value: "1d 0h 0m 0s"},
	{fault: "a backup is late, and its interval is not known", rule: "CofreBackupOverdue", is: of{`cofre_backup_overdue_seconds` + app: {90000, 0}, `cofre_backup_expected_interval_seconds` + app: missing}, labels: app, value: "1d 1h 0m 0s"},
	{fault: "two backups are late", rule: "CofreBackupOverdueTwice", is: of{`cofre_backup_overdue_seconds` + app: {86460, 0}}, labels: app, value: "1d 0h 1m 0s"},
	{fault: "a backup has lost something", rule: "CofreBackupDamaged", is: of{`cofre_backups_damaged` + app: {1, 0}}, labels: app, value: "1"},
	{fault: "WAL comes late", rule: "CofreRPOAtRisk", is: of{`cofre_rpo_seconds` + main: {1860, 0}}, nearly: []of{{`cofre_rpo_seconds` + main: {1800, 0}}}, labels: main, value: "31m 0s"},
	{fault: "the objective is missed", rule: "CofreRPOMissed", is: of{`cofre_rpo_seconds` + main: {3660, 0}}, labels: main, value: "1h 1m 0s"},
	{fault: "a schedule is rarer than the objective", rule: "CofreRPOMissed", is: of{`cofre_rpo_seconds{kind="storage",source="docs"}`: {7200, 0}}, nearly: []of{{`cofre_rpo_seconds{kind="storage",source="docs"}`: {3600, 0}}}, labels: `kind="storage",source="docs"`, value: "2h 0m 0s"},
	{fault: "WAL is missing", rule: "CofreWALGap", is: of{`cofre_wal_open_gaps` + main: {1, 0}}, labels: main},
	{fault: "archiving fails", rule: "CofreWALArchivingFailing", is: of{`cofre_wal_archiving_failing` + main: {1, 0}, `cofre_wal_ready_segments` + main: {70, 0}}, labels: main, not: "CofreWALWaiting", later: 60},
	{fault: "nobody streams", rule: "CofreWALNotStreamed", is: of{`cofre_wal_streamed{kind="cluster",source="second"}`: {0, 0}}, labels: `kind="cluster",source="second"`},
	{fault: "WAL waits", rule: "CofreWALWaiting", is: of{`cofre_wal_ready_segments` + main: {17, 0}}, labels: main, value: "17"},
	{fault: "pg_wal fills up", rule: "CofrePgWALFull", is: of{`cofre_pg_wal_free_bytes` + main: {50e9, -0.4e9}}, nearly: []of{{`cofre_pg_wal_free_bytes` + main: {50e9, -0.36e9}}}, after: 6, labels: main},
	{fault: "a copy is away", rule: "CofreCopyUnreachable", is: of{`cofre_wal_repository_reachable{repository="s3://copy"}`: {0, 0}, `cofre_wal_repository_gaps{repository="s3://copy"}`: missing}, labels: `repository="s3://copy"`},
	{fault: "a copy lacks WAL", rule: "CofreCopyIncomplete", is: of{`cofre_wal_repository_gaps{repository="s3://copy"}`: {1, 0}}, labels: `repository="s3://copy"`},
	{fault: "a copy has damaged WAL", rule: "CofreCopyIncomplete", is: of{`cofre_wal_repository_damaged_segments{repository="s3://copy"}`: {1, 0}}, labels: `repository="s3://copy"`},
	{fault: "nothing is verified", rule: "CofreVerificationOld", is: of{`cofre_unverified_since_timestamp_seconds`: {-2592060, 0}}, nearly: []of{{`cofre_unverified_since_timestamp_seconds`: {-2592000 + 3600, 0}}}, value: "30d 1h 1m 0s"},
	{fault: "a verification has findings", rule: "CofreVerificationRed", is: of{`cofre_verification_open_findings`: {1, 0}}, value: "1"},
	{fault: "a drill is red", rule: "CofreDrillRed", is: of{`cofre_drill_red` + app: {1, 0}}, labels: app},
	{fault: "a drill is late", rule: "CofreDrillOverdue", is: of{`cofre_drill_overdue_seconds` + app: {1, 0}}, labels: app, value: "1s"},
	{fault: "a recovery takes too long", rule: "CofreRTOMissed", is: of{`cofre_rto_seconds` + app: {14460, 0}}, labels: app, value: "4h 1m 0s"},
	{fault: "no room for two backups", rule: "CofreRepositoryFull", is: of{`cofre_repository_free_bytes`: {19e9, 0}}},
	{fault: "the disk is full tomorrow", rule: "CofreRepositoryFull", is: of{`cofre_repository_full_seconds`: {172799, 0}}, not: "CofreRepositoryFillsUp", later: 90},
	{fault: "the disk fills", rule: "CofreRepositoryFillsUp", is: of{`cofre_repository_full_seconds`: {1209599, 0}}, value: "13d 23h 59m 59s"},
	{fault: "the disk is full in two days", rule: "CofreRepositoryFillsUp", is: of{`cofre_repository_full_seconds`: {172800, 0}}, value: "2d 0h 0m 0s"},
	{fault: "retention is frozen", rule: "CofreRetentionFrozen", is: of{`cofre_retention_frozen_since_timestamp_seconds` + app: {-259260, 0}}, nearly: []of{{`cofre_retention_frozen_since_timestamp_seconds` + app: {-259200 + 900, 0}}}, labels: app, value: "3d 0h 16m 0s"},
	{fault: "a hold ends", rule: "CofreHoldEnding", is: of{`cofre_next_hold_end_timestamp_seconds`: {259140, 0}}, nearly: []of{{`cofre_next_hold_end_timestamp_seconds`: {259200 + 900, 0}}}, value: "2d 23h 44m 0s"},
	{fault: "a backup takes longer than its window", rule: "CofreWindowOverrun", is: of{`cofre_running_seconds{task="backup database"}`: {7260, 0}}, nearly: []of{{`cofre_running_seconds{task="backup database"}`: {7200, 0}}}, labels: `task="backup database"`, value: "2h 1m 0s"},
	{fault: "the clock of the agent is behind", rule: "CofreClockWrong", is: of{`cofre_status_timestamp_seconds`: {-301, 60}}, nearly: []of{{`cofre_status_timestamp_seconds`: {-300, 60}}}, value: "5m 1s"},
	{fault: "the clock of the agent is ahead", rule: "CofreClockWrong", is: of{`cofre_status_timestamp_seconds`: {301, 60}}, nearly: []of{{`cofre_status_timestamp_seconds`: {300, 60}}}, value: "5m 1s"},
	{fault: "something else is at risk", rule: "CofreAtRisk", is: of{`cofre_verdict{verdict="at_risk"}`: {1, 0}, `cofre_verdict{verdict="ok"}`: {0, 0}}, labels: `verdict="at_risk"`},
	{fault: "what is at risk has a rule", rule: "CofreWALGap", is: of{`cofre_wal_open_gaps` + main: {1, 0}, `cofre_verdict{verdict="at_risk"}`: {1, 0}}, labels: main, not: "CofreAtRisk", later: 90},
}
