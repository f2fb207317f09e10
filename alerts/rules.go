package alerts

import "time"

// Severity says how soon somebody is to look.
type Severity string

// The severities.
const (
	Critical Severity = "critical" // now: something that is promised cannot be restored, or soon will not be
	Warning  Severity = "warning"  // by day
	None     Severity = "none"     // it always fires, so that its absence is noticed
)

// Text is a text in both languages.
type Text struct{ En, Pt string }

// Rule is one reason to call somebody.
type Rule struct {
	Name     string
	Expr     string
	For      time.Duration // how long it must be so
	Severity Severity
	// Says is the sentence that people read. It may have {{ $labels.NAME }} and one {{ $value | … }}.
	Says  Text
	Cause Text     // what it comes from
	Check Text     // what to look at first
	Do    []string // commands to paste, in their order
}

// Rules are all of them, the ones that say that nothing is known first.
func Rules() []Rule {
	var all []Rule
	for _, of := range [][]Rule{unknown, record, backups, rpo, archive, proofs, space, agent} {
		all = append(all, of...)
	}
	return all
}

var unknown = []Rule{
	{
		"CofreWatchdog", "vector(1)", 0, None,
		Text{"This alert always fires: if it does not arrive, nobody would hear of any other.", "Este alerta dispara sempre: se ele não chega, ninguém saberia de nenhum outro."},
		Text{"It is meant to fire. Send it to a service that calls you when it stops.", "Ele existe para disparar. Envie-o a um serviço que avise você quando ele parar."},
		Text{"If it has stopped: whether Prometheus and Alertmanager run, and reach the service.", "Se ele parou: se o Prometheus e o Alertmanager estão em execução e alcançam o serviço."},
		[]string{"systemctl status prometheus prometheus-alertmanager"},
	},
	{
		"CofreAgentAbsent", "group by (job, instance) (present_over_time(cofre_build_info[2d])) unless group by (job, instance) (cofre_build_info) or on () absent(cofre_build_info)", 10 * time.Minute, Critical,
		Text{"No agent of cofre answers at {{ $labels.instance }}: nothing is backed up by schedule, and nobody knows how the backups stand.", "Nenhum agente do cofre responde em {{ $labels.instance }}: nada é copiado pela agenda, e ninguém sabe como estão os backups."},
		Text{"`cofre serve` does not run, its machine is down, or Prometheus does not reach it. It also fires if it was never scraped, and for two days after an agent was taken away.", "O `cofre serve` não está em execução, a máquina está fora do ar, ou o Prometheus não a alcança. Também dispara se ele nunca foi lido, e por dois dias depois que um agente foi retirado."},
		Text{"The service, and the last lines of its log.", "O serviço, e as últimas linhas do seu log."},
		[]string{"systemctl status cofre", "journalctl -u cofre -n 50", "systemctl restart cofre"},
	},
	{
		"CofreStatusUnknown", "cofre_status_known == 0", 15 * time.Minute, Critical,
		Text{"The agent at {{ $labels.instance }} runs, and cannot say how the backups stand.", "O agente em {{ $labels.instance }} está em execução, e não consegue dizer como estão os backups."},
		Text{"It took longer than 25 s to look: the repository or the server hangs, or the machine has no room to work.", "Olhar levou mais de 25 s: o repositório ou o servidor está travado, ou a máquina não tem como trabalhar."},
		Text{"Whether the same takes as long by hand, and at what.", "Se o mesmo demora também à mão, e em quê."},
		[]string{"time cofre status", "cofre doctor"},
	},
	{
		"CofreRepositoryUnreachable", `min without (area) (cofre_area_known{area=~"repository|catalog"}) == 0`, 15 * time.Minute, Critical,
		Text{"The repository of {{ $labels.instance }} cannot be read: nobody knows what can be restored, and no backup can be stored.", "O repositório de {{ $labels.instance }} não pode ser lido: ninguém sabe o que pode ser restaurado, e nenhum backup pode ser guardado."},
		Text{"A disk that is not mounted, an S3 service that is away, credentials that have ended, or a password that is another.", "Um disco que não está montado, um serviço S3 fora do ar, credenciais vencidas, ou outra senha."},
		Text{"The first finding says why; `cofre doctor` tries each step by itself.", "O primeiro achado diz por quê; o `cofre doctor` tenta cada passo em separado."},
		[]string{"cofre status", "cofre doctor"},
	},
	{
		"CofreAreaUnknown", `cofre_area_known{area=~"wal|server|space|size"} == 0 or (cofre_area_known{area="journal"} == 0 unless on (job, instance) cofre_journal_consistent == 0)`, 30 * time.Minute, Warning,
		Text{"{{ $labels.instance }} cannot tell of its backups what concerns {{ $labels.area }}: the alerts about that are silent.", "{{ $labels.instance }} não consegue dizer dos seus backups o que se refere a {{ $labels.area }}: os alertas sobre isso estão calados."},
		Text{"`wal`, `journal`: something in the repository cannot be read. `server`: PostgreSQL does not answer, or its role may not look. `space`, `size`: the file system does not say.", "`wal`, `journal`: algo no repositório não pode ser lido. `server`: o PostgreSQL não responde, ou o papel não pode olhar. `space`, `size`: o sistema de arquivos não diz."},
		Text{"The finding of that area, and what it says to do.", "O achado dessa área, e o que ele diz para fazer."},
		[]string{"cofre status", "cofre doctor"},
	},
}

var record = []Rule{
	{
		"CofreJournalInconsistent", "cofre_journal_consistent == 0", 5 * time.Minute, Critical,
		Text{"The journal of the repository of {{ $labels.instance }} was changed: what it says of the past cannot be believed.", "O diário do repositório de {{ $labels.instance }} foi alterado: não se pode acreditar no que ele diz do passado."},
		Text{"A disk that has lost something, a repository that was copied back from before, or somebody who removes traces.", "Um disco que perdeu algo, um repositório que foi copiado de volta de um estado anterior, ou alguém que apaga rastros."},
		Text{"What differs, against a line that was kept elsewhere: a mail, a paper, a mirror of this metric. Change no password and expire nothing before you know.", "O que difere, contra uma linha guardada em outro lugar: um e-mail, um papel, uma cópia desta métrica. Não troque senhas nem expire nada antes de saber."},
		[]string{"cofre journal verify", "cofre verify"},
	},
	{
		"CofreJournalShrunk", `cofre_journal_entries < max_over_time(cofre_journal_entries[7d]) or max_over_time(cofre_journal_entries[7d]) unless cofre_journal_entries and on (job, instance) cofre_area_known{area="journal"} == 1`, 5 * time.Minute, Critical,
		Text{"The journal of the repository of {{ $labels.instance }} has fewer entries than Prometheus has seen, or none: an older state of the repository is shown.", "O diário do repositório de {{ $labels.instance }} tem menos registros do que o Prometheus já viu, ou nenhum: mostra-se um estado mais antigo do repositório."},
		Text{"The repository was rolled back, with or without intent, or the agent was given another repository. In the latter case it ends after seven days.", "O repositório voltou a um estado anterior, com ou sem intenção, ou o agente recebeu outro repositório. Neste último caso o alerta termina depois de sete dias."},
		Text{"Whether the repository is the same, and since when points are missing. Prometheus still has `cofre_journal_root` of then: the first 48 bits of its hash.", "Se o repositório é o mesmo, e desde quando faltam pontos. O Prometheus ainda tem o `cofre_journal_root` de então: os primeiros 48 bits do hash."},
		[]string{"cofre journal verify", "cofre list"},
	},
	{
		"CofreRecoveryPointsGone", `cofre_recovery_points_gone > 0 or on (job, instance) cofre_area_known{area="points"} == 0`, 5 * time.Minute, Critical,
		Text{"Recovery points of {{ $labels.instance }} that did not expire are gone, or hidden.", "Pontos de recuperação de {{ $labels.instance }} que não expiraram sumiram, ou estão ocultos."},
		Text{"Files of the repository were deleted or cannot be read any more.", "Arquivos do repositório foram apagados ou não podem mais ser lidos."},
		Text{"Which ones, and whether a copy has them.", "Quais, e se uma cópia os tem."},
		[]string{"cofre verify", "cofre status"},
	},
}

var backups = []Rule{
	{
		"CofreBackupMissing", "cofre_backups_restorable == 0", 4 * time.Hour, Critical,
		Text{"Of {{ $labels.kind }} {{ $labels.source }} there is no backup that can be restored.", "De {{ $labels.kind }} {{ $labels.source }} não há nenhum backup que possa ser restaurado."},
		Text{"No backup was ever whole, or all that are left are damaged.", "Nenhum backup jamais ficou inteiro, ou todos os que restam estão danificados."},
		Text{"What became of the attempts.", "O que houve com as tentativas."},
		[]string{"cofre runs", "cofre backup", "cofre status"},
	},
	{
		"CofreBackupFailed", "cofre_backup_failed == 1", 5 * time.Minute, Warning,
		Text{"The last backup of {{ $labels.kind }} {{ $labels.source }} failed, or left something out.", "O último backup de {{ $labels.kind }} {{ $labels.source }} falhou, ou deixou algo de fora."},
		Text{"The run says why. The agent tries again by itself, first after a minute, then less often.", "A execução diz por quê. O agente tenta de novo sozinho, primeiro depois de um minuto, depois mais raramente."},
		Text{"The error of the newest run, and its hint.", "O erro da execução mais nova, e a sua dica."},
		[]string{"cofre status", "cofre runs", "cofre doctor"},
	},
	{
		"CofreUploadFailing", "backup_s3_upload_success == 0 and cofre_backups_restorable > 0", 2 * time.Hour, Critical,
		Text{"For two hours no backup of {{ $labels.kind }} {{ $labels.source }} has reached the repository.", "Há duas horas nenhum backup de {{ $labels.kind }} {{ $labels.source }} chega ao repositório."},
		Text{"It has failed again and again: it does not mend itself.", "Falhou repetidas vezes: não se resolve sozinho."},
		Text{"Whether it is the source or the repository that is in the way.", "Se é a fonte ou o repositório que atrapalha."},
		[]string{"cofre doctor", "cofre runs", "cofre backup"},
	},
	{
		"CofreBackupOverdue", "cofre_backup_overdue_seconds > 0 unless cofre_backup_overdue_seconds > cofre_backup_expected_interval_seconds", 15 * time.Minute, Warning,
		Text{"A backup of {{ $labels.kind }} {{ $labels.source }} has been due for {{ $value | humanizeDuration }}, and has not come.", "Um backup de {{ $labels.kind }} {{ $labels.source }} está atrasado há {{ $value | humanizeDuration }}."},
		Text{"It is measured against the source's own schedule, with an hour and the time of the last backup on top. The agent was off, waits for another machine, or the backup takes much longer than usual.", "Mede-se contra a agenda da própria fonte, com uma hora e a duração do último backup de tolerância. O agente estava parado, espera por outra máquina, ou o backup demora muito mais que de costume."},
		Text{"Whether one runs right now, and what the log of the agent says.", "Se há um em execução agora, e o que diz o log do agente."},
		[]string{"cofre runs", "journalctl -u cofre -n 50", "cofre backup"},
	},
	{
		"CofreBackupOverdueTwice", "cofre_backup_overdue_seconds > cofre_backup_expected_interval_seconds", 15 * time.Minute, Critical,
		Text{"Two backups of {{ $labels.kind }} {{ $labels.source }} in a row have not come; the first has been due for {{ $value | humanizeDuration }}.", "Dois backups seguidos de {{ $labels.kind }} {{ $labels.source }} não foram feitos; o primeiro está atrasado há {{ $value | humanizeDuration }}."},
		Text{"As of CofreBackupOverdue; nobody has mended it since.", "Como em CofreBackupOverdue; ninguém resolveu desde então."},
		Text{"Whether a backup by hand succeeds.", "Se um backup à mão funciona."},
		[]string{"cofre backup", "cofre runs", "systemctl status cofre"},
	},
	{
		"CofreBackupDamaged", "cofre_backups_damaged > 0", 15 * time.Minute, Warning,
		Text{"{{ $value | humanize }} backups of {{ $labels.kind }} {{ $labels.source }} have lost something.", "{{ $value | humanize }} backups de {{ $labels.kind }} {{ $labels.source }} perderam algo."},
		Text{"Bytes of the repository are missing or changed.", "Bytes do repositório faltam ou mudaram."},
		Text{"What is lost. What still exists at its source is stored afresh by a backup, and a copy may have the rest.", "O que se perdeu. O que ainda existe na fonte é guardado de novo por um backup, e uma cópia pode ter o resto."},
		[]string{"cofre verify", "cofre backup"},
	},
}

var rpo = []Rule{
	{
		"CofreRPOAtRisk", "cofre_rpo_seconds > 0.5 * cofre_rpo_target_seconds and cofre_recovery_window_continuous == 1 unless cofre_rpo_seconds > cofre_rpo_target_seconds", 5 * time.Minute, Warning,
		Text{"If {{ $labels.kind }} {{ $labels.source }} were lost now, {{ $value | humanizeDuration }} of work would be lost: more than half of what may be.", "Se {{ $labels.kind }} {{ $labels.source }} se perdesse agora, {{ $value | humanizeDuration }} de trabalho se perderiam: mais da metade do permitido."},
		Text{"The WAL is archived or streamed late. It is asked only of what can be restored to every moment: between two backups of a schedule the RPO grows by itself.", "O WAL é arquivado ou transmitido com atraso. Só vale para o que pode ser restaurado a qualquer momento: entre dois backups de uma agenda o RPO cresce sozinho."},
		Text{"Whether the server archives, and what waits.", "Se o servidor arquiva, e o que espera."},
		[]string{"cofre wal status", "cofre status"},
	},
	{
		"CofreRPOMissed", "cofre_rpo_seconds > cofre_rpo_target_seconds", 5 * time.Minute, Critical,
		Text{"If {{ $labels.kind }} {{ $labels.source }} were lost now, {{ $value | humanizeDuration }} of work would be lost: more than objectives.rpo allows.", "Se {{ $labels.kind }} {{ $labels.source }} se perdesse agora, {{ $value | humanizeDuration }} de trabalho se perderiam: mais do que objectives.rpo permite."},
		Text{"WAL does not arrive, or the schedule is rarer than the objective.", "O WAL não chega, ou a agenda é mais espaçada que o objetivo."},
		Text{"Whether the server archives; whether the schedule can reach the objective at all.", "Se o servidor arquiva; se a agenda pode cumprir o objetivo."},
		[]string{"cofre wal status", "cofre backup", "cofre status"},
	},
}

var archive = []Rule{
	{
		"CofreWALGap", "cofre_wal_open_gaps > 0", 5 * time.Minute, Critical,
		Text{"WAL of {{ $labels.source }} is missing in the archive: nothing behind the gap can be recovered.", "Falta WAL de {{ $labels.source }} no arquivo: nada depois da lacuna pode ser recuperado."},
		Text{"A segment was never archived, or was lost. A server whose archive was switched off for a while leaves such a gap.", "Um segmento nunca foi arquivado, ou se perdeu. Um servidor cujo arquivamento ficou desligado por um tempo deixa essa lacuna."},
		Text{"Which segments, and whether a copy or pg_wal still has them. A new base backup makes the present recoverable again.", "Quais segmentos, e se uma cópia ou pg_wal ainda os tem. Um novo backup base torna o presente recuperável de novo."},
		[]string{"cofre wal status", "cofre wal mend", "cofre backup cluster"},
	},
	{
		"CofreWALArchivingFailing", "cofre_wal_archiving_failing == 1", 10 * time.Minute, Critical,
		Text{"The server of {{ $labels.source }} does not get rid of its WAL: archiving fails, is stuck, or is far behind.", "O servidor de {{ $labels.source }} não se livra do seu WAL: o arquivamento falha, está parado, ou muito atrasado."},
		Text{"`archive_command` fails or hangs: the repository is away, a password has changed, the program was moved.", "O `archive_command` falha ou trava: o repositório está fora do ar, uma senha mudou, o programa foi movido."},
		Text{"The log of PostgreSQL, and the command by hand as the server's user.", "O log do PostgreSQL, e o comando à mão como o usuário do servidor."},
		[]string{"cofre status", "cofre wal status", "cofre doctor"},
	},
	{
		"CofreWALNotStreamed", "cofre_wal_streamed == 0", 5 * time.Minute, Critical,
		Text{"Nobody streams the WAL of {{ $labels.source }}: what may be lost grows, and its pg_wal fills up.", "Ninguém transmite o WAL de {{ $labels.source }}: o que pode se perder cresce, e o pg_wal enche."},
		Text{"`cofre serve` or `cofre wal stream` does not run, or the server refuses it.", "O `cofre serve` ou o `cofre wal stream` não está em execução, ou o servidor o recusa."},
		Text{"The log of the agent, and pg_replication_slots.", "O log do agente, e pg_replication_slots."},
		[]string{"systemctl status cofre", "cofre wal status"},
	},
	{
		"CofreWALWaiting", "cofre_wal_ready_segments > 16 unless cofre_wal_archiving_failing == 1", 15 * time.Minute, Warning,
		Text{"{{ $value | humanize }} files of WAL of {{ $labels.source }} wait to be archived.", "{{ $value | humanize }} arquivos de WAL de {{ $labels.source }} esperam para ser arquivados."},
		Text{"The server writes faster than the repository takes: a bulk load, a slow line, a slow command.", "O servidor escreve mais rápido do que o repositório recebe: uma carga em massa, uma linha lenta, um comando lento."},
		Text{"Whether the number falls. `cofre-wal` archives faster than `cofre`.", "Se o número cai. O `cofre-wal` arquiva mais rápido que o `cofre`."},
		[]string{"cofre wal status"},
	},
	{
		"CofrePgWALFull", "predict_linear(cofre_pg_wal_free_bytes[1h], 7200) < 0", 10 * time.Minute, Critical,
		Text{"The place of pg_wal of {{ $labels.source }} is full within two hours if it goes on like this: PostgreSQL then stops.", "O lugar do pg_wal de {{ $labels.source }} enche em até duas horas se continuar assim: o PostgreSQL então para."},
		Text{"WAL is not archived or not streamed, a replication slot that nobody reads keeps it, or something else fills the disk.", "O WAL não é arquivado ou transmitido, um slot de replicação que ninguém lê o segura, ou outra coisa enche o disco."},
		Text{"What waits, and which slots keep WAL. Never delete files in pg_wal.", "O que espera, e quais slots seguram WAL. Nunca apague arquivos em pg_wal."},
		[]string{"cofre wal status", "psql -c 'SELECT slot_name, active, restart_lsn FROM pg_replication_slots'"},
	},
	{
		"CofreCopyUnreachable", "cofre_wal_repository_reachable == 0", 30 * time.Minute, Warning,
		Text{"{{ $labels.repository }} cannot be reached: WAL is kept there no more.", "{{ $labels.repository }} não pode ser alcançado: o WAL não é mais guardado lá."},
		Text{"The copy's service or disk is away, or its credentials have ended.", "O serviço ou disco da cópia está fora do ar, ou as credenciais venceram."},
		Text{"What `cofre doctor` says of that address.", "O que o `cofre doctor` diz desse endereço."},
		[]string{"cofre doctor", "cofre wal status"},
	},
	{
		"CofreCopyIncomplete", "cofre_wal_repository_gaps + cofre_wal_repository_damaged_segments > 0", time.Hour, Warning,
		Text{"{{ $labels.repository }} lacks WAL that another repository has: alone it would not be enough.", "Falta em {{ $labels.repository }} WAL que outro repositório tem: sozinho ele não bastaria."},
		Text{"It was away while WAL was archived, or has lost something.", "Estava fora do ar enquanto o WAL era arquivado, ou perdeu algo."},
		Text{"What is missing; it can be copied from the other.", "O que falta; pode ser copiado do outro."},
		[]string{"cofre wal status", "cofre wal mend"},
	},
}

var proofs = []Rule{
	{
		"CofreVerificationOld", "time() - cofre_unverified_since_timestamp_seconds > cofre_verification_window_seconds", time.Hour, Warning,
		Text{"What {{ $labels.instance }} has stored was not read back for {{ $value | humanizeDuration }}: longer than verify.window.", "O que {{ $labels.instance }} guardou não é relido há {{ $value | humanizeDuration }}: mais que verify.window."},
		Text{"No verification has run, or none has ended.", "Nenhuma verificação foi executada, ou nenhuma terminou."},
		Text{"Whether `serve.verify` is `never`, and what became of the last one.", "Se `serve.verify` é `never`, e o que houve com a última."},
		[]string{"cofre verify --level content", "cofre runs"},
	},
	{
		"CofreVerificationRed", "cofre_verification_open_findings > 0", 5 * time.Minute, Critical,
		Text{"Verification of the repository of {{ $labels.instance }} has found {{ $value | humanize }} things missing or changed.", "A verificação do repositório de {{ $labels.instance }} encontrou {{ $value | humanize }} coisas que faltam ou mudaram."},
		Text{"Bytes of the repository are damaged. It stays until a verification that looks as deep finds nothing.", "Bytes do repositório estão danificados. Permanece até que uma verificação igualmente profunda nada encontre."},
		Text{"What it is, and which points it concerns.", "O que é, e quais pontos atinge."},
		[]string{"cofre verify", "cofre backup", "cofre verify --level content"},
	},
	{
		"CofreDrillRed", "cofre_drill_red == 1", 5 * time.Minute, Critical,
		Text{"A drill of {{ $labels.kind }} {{ $labels.source }} is red: what came back is not what was captured, or does not answer as it should.", "Um ensaio de {{ $labels.kind }} {{ $labels.source }} está vermelho: o que voltou não é o que foi capturado, ou não responde como deveria."},
		Text{"What is stored is damaged, it cannot be restored with what this machine has, or a question of `drill` has another right answer now. It stays until a drill of the same point or of a newer one finds nothing.", "O que está guardado está danificado, não pode ser restaurado com o que esta máquina tem, ou uma pergunta de `drill` tem agora outra resposta certa. Permanece até que um ensaio do mesmo ponto ou de um mais novo nada ache."},
		Text{"Each finding, by its name; then what was restored, where `--keep` leaves it.", "Cada achado, pelo nome; depois o que foi restaurado, onde `--keep` o deixa."},
		[]string{"cofre runs --kind drill", "cofre drill database --keep", "cofre verify --level content"},
	},
	{
		"CofreDrillOverdue", "cofre_drill_overdue_seconds > 0", 15 * time.Minute, Warning,
		Text{"A drill of {{ $labels.kind }} {{ $labels.source }} has been due for {{ $value | humanizeDuration }}, and has not come.", "Um ensaio de {{ $labels.kind }} {{ $labels.source }} está atrasado há {{ $value | humanizeDuration }}."},
		Text{"It is measured against `serve.drill`, with an hour and the time of the last drill on top. The agent was off, or drills fail before they come to a result: the server programs of PostgreSQL are missing, or there is no room.", "Mede-se contra `serve.drill`, com uma hora e a duração do último ensaio de tolerância. O agente estava parado, ou os ensaios falham antes de chegar a um resultado: faltam os programas de servidor do PostgreSQL, ou espaço."},
		Text{"What became of the attempts, and what a drill by hand says.", "O que houve com as tentativas, e o que diz um ensaio à mão."},
		[]string{"cofre runs --kind drill", "cofre drill database --dry-run", "journalctl -u cofre -n 50"},
	},
	{
		"CofreRTOMissed", "cofre_rto_seconds > on (job, instance) group_left () cofre_rto_target_seconds", 15 * time.Minute, Warning,
		Text{"To bring {{ $labels.kind }} {{ $labels.source }} back would take {{ $value | humanizeDuration }}: more than objectives.rto allows.", "Trazer {{ $labels.kind }} {{ $labels.source }} de volta levaria {{ $value | humanizeDuration }}: mais do que objectives.rto permite."},
		Text{"What is stored has grown, or the machine that drills is slower than the one that would recover. It is predicted from what the last drills took and from the size of the newest backup.", "O que está guardado cresceu, ou a máquina que ensaia é mais lenta que a que recuperaria. É previsto pelo que os últimos ensaios levaram e pelo tamanho do backup mais novo."},
		Text{"Which step takes longest: restoring, or comparing.", "Qual passo leva mais: restaurar, ou comparar."},
		[]string{"cofre status --json", "cofre drill database"},
	},
}

var space = []Rule{
	{
		"CofreRepositoryFull", "cofre_repository_full_seconds < 172800 or cofre_repository_free_bytes < 2 * cofre_repository_largest_backup_bytes", 15 * time.Minute, Critical,
		Text{"The repository of {{ $labels.instance }} is nearly full: two more backups may not fit.", "O repositório de {{ $labels.instance }} está quase cheio: mais dois backups podem não caber."},
		Text{"More is added than expires, retention is frozen, or something else fills the disk. It is also less than two days at the present pace.", "Entra mais do que expira, a retenção está congelada, ou outra coisa enche o disco. Também dispara com menos de dois dias no ritmo atual."},
		Text{"What would go, and what keeps the rest. Never delete files of the repository by hand.", "O que sairia, e o que mantém o resto. Nunca apague arquivos do repositório à mão."},
		[]string{"cofre expire --dry-run", "cofre expire", "cofre prune"},
	},
	{
		"CofreRepositoryFillsUp", "(cofre_repository_full_seconds < 1209600) >= 172800", time.Hour, Warning,
		Text{"The repository of {{ $labels.instance }} is full in {{ $value | humanizeDuration }} if it goes on like this.", "O repositório de {{ $labels.instance }} enche em {{ $value | humanizeDuration }} se continuar assim."},
		Text{"More is added than expires.", "Entra mais do que expira."},
		Text{"What grows, and whether retention is as it was meant.", "O que cresce, e se a retenção é a que se queria."},
		[]string{"cofre expire --dry-run", "cofre prune"},
	},
	{
		"CofreRetentionFrozen", "time() - cofre_retention_frozen_since_timestamp_seconds > 259200", 15 * time.Minute, Warning,
		Text{"Nothing of {{ $labels.kind }} {{ $labels.source }} has expired for {{ $value | humanizeDuration }}: retention is frozen, and the repository grows.", "Nada de {{ $labels.kind }} {{ $labels.source }} expira há {{ $value | humanizeDuration }}: a retenção está congelada, e o repositório cresce."},
		Text{"Backups of the source fail or are damaged, or a clock is wrong. Nothing old goes while nothing new is proven.", "Os backups da fonte falham ou estão danificados, ou um relógio está errado. Nada antigo sai enquanto nada novo é provado."},
		Text{"Why it is frozen: the plan says it.", "Por que está congelada: o plano diz."},
		[]string{"cofre expire --dry-run", "cofre status"},
	},
	{
		"CofreHoldEnding", "cofre_next_hold_end_timestamp_seconds - time() < 259200", 15 * time.Minute, Warning,
		Text{"A hold in the repository of {{ $labels.instance }} ends in {{ $value | humanizeDuration }}; what it holds may then expire.", "Um ponto do repositório de {{ $labels.instance }} deixa de ser preservado em {{ $value | humanizeDuration }}, e poderá então expirar."},
		Text{"Somebody gave it an end. Whether that still holds, only its owner knows.", "Alguém deu um fim à preservação. Se ele ainda vale, só o responsável sabe."},
		Text{"Whose it is and why; ask before it ends.", "Quem o preserva e por quê; pergunte antes que termine."},
		[]string{"cofre hold"},
	},
}

var agent = []Rule{
	{
		"CofreWindowOverrun", "cofre_running_seconds > cofre_window_seconds", 5 * time.Minute, Warning,
		Text{"{{ $labels.task }} has been running for {{ $value | humanizeDuration }}: longer than its window.", "{{ $labels.task }} está em execução há {{ $value | humanizeDuration }}: mais que a sua janela."},
		Text{"There is more to do than before, the line is slow, or it hangs. It goes on: a window stops nothing.", "Há mais a fazer que antes, a linha está lenta, ou travou. Ela continua: uma janela não interrompe nada."},
		Text{"Whether it gets on.", "Se ela avança."},
		[]string{"cofre runs", "journalctl -u cofre -n 50"},
	},
	{
		"CofreClockWrong", "abs(time() - cofre_status_timestamp_seconds) > 300", 10 * time.Minute, Warning,
		Text{"The clocks of {{ $labels.instance }} and Prometheus are {{ $value | humanizeDuration }} apart: ages and delays cannot be believed.", "Os relógios de {{ $labels.instance }} e do Prometheus diferem em {{ $value | humanizeDuration }}: não se pode acreditar em idades e atrasos."},
		Text{"A clock was set, or is not kept right.", "Um relógio foi acertado, ou não é mantido certo."},
		Text{"The time of both machines.", "A hora das duas máquinas."},
		[]string{"date -u", "timedatectl"},
	},
	{
		"CofreAtRisk", `cofre_verdict{verdict="at_risk"} == 1 unless on (job, instance) ALERTS{alertname=~"Cofre.+", alertname!="CofreAtRisk", alertstate="firing"}`, time.Hour, Critical,
		Text{"cofre status calls {{ $labels.instance }} at risk, and no other alert says why.", "O cofre status considera {{ $labels.instance }} em risco, e nenhum outro alerta diz por quê."},
		Text{"Something that has no rule of its own, for instance a timeline without its history.", "Algo que não tem regra própria, por exemplo uma linha do tempo sem o seu histórico."},
		Text{"The first finding, and what it says to do.", "O primeiro achado, e o que ele diz para fazer."},
		[]string{"cofre status"},
	},
}
