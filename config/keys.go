package config

import (
	"reflect"
	"strings"
)

// Key is one key of cofre.yaml: what the pages, the schema for editors and the list of what is not acted on say of it.
type Key struct {
	Name       string   // in its mapping
	English    string   // what it means, for docs/en
	Portuguese string   // and for docs/pt-BR
	Words      []string // the only values that it takes; empty: any of its type
	Default    string   // what holds if it is left out; empty: nothing, or what the meaning says
	Since      string   // the first release that knows it
	// UsedBy says what acts on it; empty: this version reads and checks it, and does nothing with it.
	UsedBy string
}

// Section is a mapping of keys, as one Go type holds it.
type Section struct {
	Name string // of the heading in the pages
	Keys []Key
	of   reflect.Type
}

// Field is the name of a key's field in Go, with its type: "Database.LockTimeout".
func (s Section) Field(key string) string {
	for field := range s.of.Fields() {
		if field.Tag.Get("yaml") == key {
			return s.of.Name() + "." + field.Name
		}
	}
	return ""
}

const first = "0.1"

// Sections is every key of cofre.yaml, in the order of the file. It is the only list of them: decoding takes the names from the
// types, and a test holds that both have the same.
func Sections() []Section {
	return []Section{
		{"", rootKeys, reflect.TypeFor[Config]()},
		{"repository", repositoryKeys, reflect.TypeFor[Repository]()},
		{"credentials", credentialKeys, reflect.TypeFor[Credentials]()},
		{"database", databaseKeys, reflect.TypeFor[Database]()},
		{"cluster", clusterKeys, reflect.TypeFor[Cluster]()},
		{"storage", storageKeys, reflect.TypeFor[Storage]()},
		{"storage.supabase", supabaseKeys, reflect.TypeFor[Supabase]()},
		{"storage.s3", s3Keys, reflect.TypeFor[S3]()},
		{"storage.folder", folderKeys, reflect.TypeFor[Folder]()},
		{"config", filesKeys, reflect.TypeFor[Files]()},
		{"keep", keepKeys, reflect.TypeFor[Keep]()},
		{"verify", verifyKeys, reflect.TypeFor[Verify]()},
		{"serve", serveKeys, reflect.TypeFor[Serve]()},
		{"drill", drillKeys, reflect.TypeFor[Drill]()},
		{"drill.checks", checkKeys, reflect.TypeFor[Check]()},
		{"drill.row_security", probeKeys, reflect.TypeFor[Probe]()},
		{"drill.row_security.settings", settingKeys, reflect.TypeFor[Setting]()},
		{"objectives", objectiveKeys, reflect.TypeFor[Objectives]()},
		{"policy", policyKeys, reflect.TypeFor[Policy]()},
		{"hooks", hookKeys, reflect.TypeFor[Hooks]()},
		{"notify", notifyKeys, reflect.TypeFor[Notify]()},
		{"notify.to", recipientKeys, reflect.TypeFor[Recipient]()},
		{"notify.heartbeat", heartbeatKeys, reflect.TypeFor[Heartbeat]()},
		{"log", logKeys, reflect.TypeFor[Log]()},
	}
}

// notYet is UsedBy of what is only read and checked.
const notYet = ""

var rootKeys = []Key{
	{"name", "of the installation: letters, digits, `.`, `-`, `_`. Points of several installations may share a repository; without a name, commands that read take the only one that is there", "da instalação: letras, dígitos, `.`, `-`, `_`. Pontos de várias instalações podem dividir um repositório; sem nome, os comandos de leitura usam a única que houver", nil, "the host's name", first, "every command"},
	{"timezone", "of the times on the screen, and of every schedule, as `America/Sao_Paulo`", "dos horários na tela e de toda agenda, como `America/Sao_Paulo`", nil, "the machine's", first, "what is shown, serve"},
	{"language", "of what is printed for a person: `en` or `pt-BR`. `--lang` comes before it", "do que é impresso para uma pessoa: `en` ou `pt-BR`. `--lang` vem antes dela", []string{"en", "pt-BR"}, "that of `LC_ALL`, `LC_MESSAGES` or `LANG`", first, "what is shown"},
	{"repository", "where the backups rest", "onde ficam os backups", nil, "", first, "every command"},
	{"copies", "a list of further repositories, with the same keys. What a copy leaves out it takes from the repository", "lista de outros repositórios, com as mesmas chaves. O que uma cópia não define vem do repositório", nil, "", first, "wal archive, wal fetch, wal stream, wal status, init, doctor"},
	{"database", "the logical dump of one database", "o dump lógico de um banco", nil, "", first, "backup"},
	{"cluster", "the whole data directory, base backups and WAL", "o diretório de dados inteiro, backups base e WAL", nil, "", first, "backup, wal"},
	{"storage", "the buckets", "os buckets", nil, "", first, "backup"},
	{"config", "the configuration files", "os arquivos de configuração", nil, "", first, "backup"},
	{"verify", "how what is stored is read back", "como o que está armazenado é lido de volta", nil, "", first, "verify"},
	{"serve", "what `cofre serve` does beside the backups", "o que `cofre serve` faz além dos backups", nil, "", first, "serve"},
	{"drill", "what a restored copy is asked in a drill, beside being compared", "o que se pergunta, num ensaio de restauração, à cópia restaurada, além de compará-la", nil, "", first, "drill"},
	{"objectives", "what is promised", "o que é prometido", nil, "", first, "status"},
	{"policy", "what the backup policy says beyond the rest of the file", "o que a política de backup diz além do resto do arquivo", nil, "", first, "policy"},
	{"hooks", "commands around backups and restores", "comandos antes e depois de backups e restaurações", nil, "", first, "backup, restore"},
	{"notify", "who is told when something is wrong. A list in its place is that of `to`", "quem é avisado quando algo está errado. Uma lista no seu lugar é a de `to`", nil, "", first, "serve, notify test"},
	{"log", "how the log is written", "como o log é escrito", nil, "", first, "serve"},
	{"state_dir", "caches of this machine, and what it has seen of the journal; if it is deleted, nothing is lost but that memory, and every command says so until `cofre journal verify --since LINE` has compared a line that somebody kept", "caches desta máquina, e o que ela viu do diário; se for apagado, nada se perde além dessa memória, e todo comando diz isso até que `cofre journal verify --since LINHA` compare uma linha que alguém guardou", nil, "`~/.cache/cofre`", first, "every command"},
}

var repositoryKeys = []Key{
	{"url", "a folder, or `s3://BUCKET/PREFIX?endpoint=https://…&region=…` (path style). `&timeout=20s` changes how long the service may say nothing before a request is given up, 45 s; `&patience=10m` how long one that throttles, fails or has gone away is waited for with each request, 5 minutes", "uma pasta, ou `s3://BUCKET/PREFIXO?endpoint=https://…&region=…` (path style). `&timeout=20s` muda por quanto tempo o serviço pode ficar sem responder antes que uma requisição seja abandonada, 45 s; `&patience=10m`, por quanto tempo cada requisição espera por um serviço que limita a taxa, falha ou está fora do ar, 5 minutos", nil, "", first, "every command"},
	{"password", "reference to the repository's password", "referência à senha do repositório", nil, "`COFRE_PASSWORD`, or the file that `COFRE_PASSWORD_FILE` names", first, "every command"},
	{"compression", "`s2` takes half the CPU and more space", "`s2` usa metade da CPU e mais espaço", Compressions, "`zstd-fastest`", first, "backup"},
	{"credentials", "of an object store", "de um armazenamento de objetos", nil, "the usual chain: `AWS_*` variables, shared file, instance role", first, "every command"},
	{"ca", "PEM file with the certificate authorities of a private endpoint", "arquivo PEM com os certificados das autoridades certificadoras (CA) de um endpoint privado", nil, "the machine's", first, "every command"},
	{"wal_recipient", "the key that WAL is encrypted for, `age1…`, as `cofre init` says it: another one in the repository is refused, since whoever put it there would read the WAL", "a chave para a qual o WAL é criptografado, `age1…`, como `cofre init` a mostra: outra no repositório é recusada, pois quem a pôs ali leria o WAL", nil, "that of the first use, remembered in `state_dir`", first, "wal archive, wal stream, wal status, backup, doctor, verify"},
}

var credentialKeys = []Key{
	{"access_key", "reference", "referência", nil, "", first, "every command"},
	{"secret_key", "reference; both keys or neither", "referência; as duas chaves ou nenhuma", nil, "", first, "every command"},
	{"session_token", "reference, if the keys are temporary", "referência, se as chaves são temporárias", nil, "", first, "every command"},
}

// windowKey is of every source.
var windowKey = Key{"window", "how long after it was due a backup is to have ended, as `2h`. One that goes on beyond it is told of, and goes on", "quanto tempo depois do horário um backup deve ter terminado, como `2h`. Um que passa disso é avisado, e continua", nil, "", first, "serve"}

var databaseKeys = []Key{
	{"url", "`postgres://USER@HOST:PORT/NAME?sslmode=verify-full`, without a password. `&connect_timeout=120` changes how many seconds a server may take to open a session, 45", "`postgres://USUÁRIO@SERVIDOR:PORTA/NOME?sslmode=verify-full`, sem senha. `&connect_timeout=120` muda quantos segundos um servidor pode levar para abrir uma sessão, 45", nil, "", first, "backup, restore"},
	{"password", "reference", "referência", nil, "`PGPASSWORD`, `~/.pgpass`, or none", first, "backup, restore"},
	{"schedule", "five fields as in crontab, or `@daily` and the like", "cinco campos como no crontab, ou `@daily` e semelhantes", nil, "", first, "serve"},
	windowKey,
	{"keep", "how long its backups are kept", "por quanto tempo seus backups são mantidos", nil, "`{days: 30}`", first, "expire"},
	{"jobs", "tables copied at once", "tabelas copiadas ao mesmo tempo", nil, "the number of CPUs, up to 4", first, "backup"},
	{"lock_timeout", "the longest wait for the lock on a table, as `30s`. A backup then fails, instead of standing in the way of a migration", "a espera máxima pelo bloqueio (lock) de uma tabela, como `30s`. Depois dela o backup falha, em vez de atrapalhar uma migração", nil, "", first, "backup"},
	{"role_passwords", "`true` also stores the hashes of passwords; needs a superuser", "`true` guarda também os hashes das senhas; exige um superusuário", nil, "`false`", first, "backup"},
	{"exclude_table_data", "list of tables whose rows are left out, as `public.sessions`", "lista de tabelas cujas linhas ficam de fora, como `public.sessions`", nil, "", first, "backup"},
}

var clusterKeys = []Key{
	{"url", "as of `database`; a role that may replicate", "como em `database`; um papel que pode replicar", nil, "", first, "backup, wal stream"},
	{"password", "reference", "referência", nil, "`PGPASSWORD`, `~/.pgpass`, or none", first, "backup, wal stream"},
	{"schedule", "of base backups", "dos backups base (base backups)", nil, "", first, "serve"},
	windowKey,
	{"keep", "how long its base backups are kept; every moment of the last `keep.days` days stays reachable, and `cofre wal status` looks at them", "por quanto tempo seus backups base são mantidos; cada momento dos últimos `keep.days` dias continua alcançável, e `cofre wal status` os examina", nil, "`{days: 7}`", first, "expire, wal status"},
	{"wal", "`archive`: the server's `archive_command` calls `cofre wal archive`; `stream`: cofre receives it", "`archive`: o `archive_command` do servidor chama `cofre wal archive`; `stream`: o cofre recebe o WAL", []string{WALStream, WALArchive}, "WAL is not kept", first, "backup, doctor"},
	{"slot", "name of the replication slot, with `stream`", "nome do slot de replicação, com `stream`", nil, "`cofre`", first, "wal stream"},
	{"data_directory", "where cofre sees it, if not where the server says", "onde o cofre o vê, se não for onde o servidor diz", nil, "asked from the server", first, "backup"},
	{"jobs", "files read at once", "arquivos lidos ao mesmo tempo", nil, "the number of CPUs, up to 4", first, "backup"},
	{"checkpoint", "`fast` begins at once, at the price of a burst of writes", "`fast` começa na hora, ao preço de uma rajada de escritas", []string{CheckpointFast, CheckpointSpread}, "`fast`", first, "backup"},
}

var storageKeys = []Key{
	{"supabase", "Supabase Storage, over its API", "Supabase Storage, pela sua API", nil, "", first, "backup, restore"},
	{"s3", "buckets of an object store", "buckets de um armazenamento de objetos", nil, "", first, "backup, restore"},
	{"folder", "a folder with one bucket for each sub-folder", "uma pasta com um bucket para cada subpasta", nil, "", first, "backup, restore"},
	{"buckets", "list of names", "lista de nomes", nil, "all", first, "backup"},
	{"schedule", "of its backups", "dos seus backups", nil, "", first, "serve"},
	windowKey,
	{"keep", "how long its backups are kept", "por quanto tempo seus backups são mantidos", nil, "`{days: 30}`", first, "expire"},
	{"jobs", "objects read at once", "objetos lidos ao mesmo tempo", nil, "`8`", first, "backup"},
}

var supabaseKeys = []Key{
	{"url", "of the API, as `https://trustlayer.example.com`", "da API, como `https://trustlayer.example.com`", nil, "", first, "backup, restore"},
	{"service_role_key", "reference", "referência", nil, "", first, "backup, restore"},
	{"ca", "PEM file with the certificate authorities of a private endpoint", "arquivo PEM com os certificados das autoridades certificadoras (CA) de um endpoint privado", nil, "the machine's", first, "backup, restore"},
}

var s3Keys = []Key{
	{"endpoint", "URL", "URL", nil, "AWS", first, "backup, restore"},
	{"region", "of the buckets", "dos buckets", nil, "", first, "backup, restore"},
	{"credentials", "as of `repository`", "como em `repository`", nil, "", first, "backup, restore"},
	{"ca", "PEM file with the certificate authorities of a private endpoint", "arquivo PEM com os certificados das autoridades certificadoras (CA) de um endpoint privado", nil, "the machine's", first, "backup, restore"},
	{"buckets", "another place for `storage.buckets`", "outro lugar para `storage.buckets`", nil, "", first, "backup"},
}

var folderKeys = []Key{
	{"path", "the folder", "a pasta", nil, "", first, "backup, restore"},
}

var filesKeys = []Key{
	{"paths", "files and folders, or patterns: `*`, `?`, `[…]`, and `**` for any number of folders. A path that does not exist makes the backup partial (exit 3), by name; a pattern may match nothing, and the point says which did", "arquivos e pastas, ou padrões: `*`, `?`, `[…]`, e `**` para qualquer número de pastas. Um caminho que não existe torna o backup parcial (saída 3), pelo nome; um padrão pode não encontrar nada, e o ponto diz quais não encontraram", nil, "", first, "backup"},
	{"exclude", "patterns: of a whole path if they hold a slash (`**/cache`), otherwise of a name in any folder (`*.log`)", "padrões: de um caminho inteiro se têm barra (`**/cache`), senão de um nome em qualquer pasta (`*.log`)", nil, "", first, "backup"},
	{"schedule", "of its backups", "dos seus backups", nil, "", first, "serve"},
	windowKey,
	{"keep", "how long its backups are kept", "por quanto tempo seus backups são mantidos", nil, "`{days: 90}`", first, "expire"},
	{"postgresql", "`true` also stores `postgresql.conf`, `pg_hba.conf` and the like, read over SQL", "`true` guarda também `postgresql.conf`, `pg_hba.conf` e semelhantes, lidos por SQL", nil, "`false`", first, "backup"},
	{"cofre", "`false` leaves out the configuration file of cofre itself", "`false` deixa de fora o arquivo de configuração do próprio cofre", nil, "`true`", first, "backup"},
}

var keepKeys = []Key{
	{"everything", "`true`: nothing expires. It stands alone", "`true`: nada expira. Fica sozinha", nil, "`false`", first, "expire"},
	{"days", "younger than this many days", "mais novos que este número de dias", nil, "", first, "expire, wal status"},
	{"last", "this many newest", "este número dos mais novos", nil, "", first, "expire"},
	{"hourly", "the newest of each of this many hours", "o mais novo de cada uma deste número de horas", nil, "", first, "expire"},
	{"daily", "… days", "… dias", nil, "", first, "expire"},
	{"weekly", "… weeks", "… semanas", nil, "", first, "expire"},
	{"monthly", "… months", "… meses", nil, "", first, "expire"},
	{"yearly", "… years", "… anos", nil, "", first, "expire"},
	{"verified", "the number of verified recovery points that always stay", "o número de pontos de recuperação verificados que sempre ficam", nil, "", first, "expire"},
}

var verifyKeys = []Key{
	{"window", "the time within which `verify --level content`, run again and again, reads everything back: each run reads what is new, and its share of the rest. At least `1d`", "o tempo dentro do qual `verify --level content`, executado repetidas vezes, lê tudo de volta: cada execução lê o que é novo e a sua parte do resto. No mínimo `1d`", nil, "`30d`", first, "verify"},
}

var serveKeys = []Key{
	{"expire", "when what `keep` lets go is taken out of the catalog: a schedule, or `never`", "quando o que `keep` libera sai do catálogo: uma agenda, ou `never` (nunca)", nil, "`30 4 * * *`", first, "serve"},
	{"prune", "when the space of what expired is given back: a schedule, or `never`", "quando o espaço do que expirou é devolvido: uma agenda, ou `never` (nunca)", nil, "`0 5 * * *`", first, "serve"},
	{"verify", "when what is stored is read back, as by `cofre verify --level content`: a schedule, or `never`", "quando o que está armazenado é lido de volta, como por `cofre verify --level content`: uma agenda, ou `never` (nunca)", nil, "`0 6 * * *`", first, "serve"},
	{"drill", "when the newest backup of the database, the cluster, the storage and the files is restored where it touches nothing, and compared, as by `cofre drill`: a schedule, or `never`", "quando o backup mais novo do banco, do cluster, do storage e dos arquivos é restaurado onde não toca em nada, e comparado, como por `cofre drill`: uma agenda, ou `never` (nunca)", nil, "`never`", first, "serve"},
	{"jitter", "each job begins up to so much later than its schedule says, always by the same, so that many installations do not begin at once, as `10m`", "cada tarefa começa até esse tempo depois do que diz a sua agenda, sempre pelo mesmo tempo, para que muitas instalações não comecem juntas, como `10m`", nil, "", first, "serve"},
	{"limit", "how long a run may take, as `12h`. One that takes longer is ended, and counts as failed. At least `1m`", "quanto uma execução pode levar, como `12h`. Uma que leva mais é encerrada, e conta como falha. No mínimo `1m`", nil, "`1d`", first, "serve"},
}

var drillKeys = []Key{
	{"directory", "where drilled servers have their files: a folder with room for the whole database or cluster, which the user of the server can reach", "onde ficam os arquivos dos servidores de ensaio: uma pasta com espaço para o banco ou o cluster inteiro, que o usuário do servidor alcance", nil, "`TMPDIR`, or `/var/tmp`", first, "drill"},
	{"checks", "list of questions that the restored database must answer with yes", "lista de perguntas a que o banco restaurado deve responder que sim", nil, "", first, "drill"},
	{"row_security", "list of questions in the name of the application's own roles, each with the answer that is right", "lista de perguntas em nome dos papéis da própria aplicação, cada uma com a resposta certa", nil, "", first, "drill"},
}

var checkKeys = []Key{
	{"name", "what a finding calls it", "como um achado a chama", nil, "its place in the list", first, "drill"},
	{"sql", "one statement that returns `true`, run by a superuser of the drilled server and taken back. A text in the place of the mapping is this key", "um comando que retorna `true`, executado por um superusuário do servidor de ensaio e desfeito. Um texto no lugar do mapeamento é esta chave", nil, "", first, "drill"},
	{"command", "a command of the shell that must end with 0. It gets `PGHOST`, `PGPORT`, `PGUSER`, `PGDATABASE` and `DATABASE_URL` of the drilled database", "um comando do shell que deve terminar com 0. Recebe `PGHOST`, `PGPORT`, `PGUSER`, `PGDATABASE` e `DATABASE_URL` do banco de ensaio", nil, "", first, "drill"},
	{"timeout", "after which no answer is a finding, as `5m`", "depois do qual a falta de resposta é um achado, como `5m`", nil, "`1m`", first, "drill"},
}

var probeKeys = []Key{
	{"name", "what a finding calls it", "como um achado a chama", nil, "its place in the list", first, "drill"},
	{"role", "who asks, as `authenticated`", "quem pergunta, como `authenticated`", nil, "", first, "drill"},
	{"claims", "JSON, as PostgREST and Supabase hand it to policies in `request.jwt.claims`", "JSON, como o PostgREST e o Supabase o entregam às políticas em `request.jwt.claims`", nil, "", first, "drill"},
	{"settings", "list of run-time parameters that policies read", "lista de parâmetros que as políticas leem", nil, "", first, "drill"},
	{"query", "what is asked, in a transaction that is taken back", "o que se pergunta, numa transação que é desfeita", nil, "", first, "drill"},
	{"rows", "how many rows the query is to return", "quantas linhas a consulta deve retornar", nil, "", first, "drill"},
	{"value", "the text that the first column of its only row is to be", "o texto que a primeira coluna da sua única linha deve ter", nil, "", first, "drill"},
	{"denied", "`true`: the server is to refuse the query to this role", "`true`: o servidor deve recusar a consulta a este papel", nil, "`false`", first, "drill"},
	{"timeout", "after which no answer is a finding, as `5m`", "depois do qual a falta de resposta é um achado, como `5m`", nil, "`1m`", first, "drill"},
}

var settingKeys = []Key{
	{"name", "as `app.organization`", "como `app.organization`", nil, "", first, "drill"},
	{"value", "text", "texto", nil, "", first, "drill"},
}

var objectiveKeys = []Key{
	{"rpo", "how much work may be lost, as `1h`", "quanto trabalho pode ser perdido, como `1h`", nil, "", first, "status"},
	{"rto", "how long a recovery may take, as `4h`", "quanto uma recuperação pode levar, como `4h`", nil, "", first, "status"},
}

var policyKeys = []Key{
	{"class", "of the system: what public rules ask of such a one is compared with the rest of the file", "do sistema: o que as regras públicas pedem de um assim é comparado com o resto do arquivo", []string{"critical", "important", "ordinary"}, "", first, "policy"},
	{"responsible", "who answers for the backups: a person, or a role", "quem responde pelos backups: uma pessoa, ou uma função", nil, "", first, "policy"},
	{"elsewhere", "how every backup comes to another place, if not by cofre: replication of the bucket, tapes. It is said in the policy, and not looked at", "como cada backup chega a outro lugar, se não pelo cofre: replicação do bucket, fitas. É dito na política, e não é verificado", nil, "", first, "policy"},
	{"review", "after how long the policy is to be read and signed again, as `365d`", "depois de quanto tempo a política deve ser lida e assinada de novo, como `365d`", nil, "`365d`", first, "policy"},
}

var hookKeys = []Key{
	{"before_backup", "list of shell commands. One that fails stops the backup. The last of what they print is kept with the run, encrypted: `cofre runs show`", "lista de comandos do shell. Um que falha impede o backup. O fim do que imprimem é guardado com a execução, cifrado: `cofre runs show`", nil, "", first, "backup"},
	{"after_backup", "list of shell commands, run whatever became of the backup: `COFRE_OUTCOME` is `ok`, or says what it ended with. Not run if the first command of `before_backup` fails", "lista de comandos do shell, executados qualquer que tenha sido o resultado do backup: `COFRE_OUTCOME` é `ok`, ou diz como ele terminou. Não são executados se o primeiro comando de `before_backup` falha", nil, "", first, "backup"},
	{"before_restore", "list of shell commands, run if a restore replaces something: not if it brings everything to a new place, such as `restore database --to NEW`. One that fails stops the restore", "lista de comandos do shell, executados se uma restauração substitui algo: não se ela traz tudo para um lugar novo, como `restore database --to NOVO`. Um que falha impede a restauração", nil, "", first, "restore"},
	{"after_restore", "list of shell commands, run if those of `before_restore` were, whatever became of the restore: `COFRE_OUTCOME` is `ok`, or says what it ended with. Not run if the first command of `before_restore` fails", "lista de comandos do shell, executados se os de `before_restore` foram, qualquer que tenha sido o resultado da restauração: `COFRE_OUTCOME` é `ok`, ou diz como ela terminou. Não são executados se o primeiro comando de `before_restore` falha", nil, "", first, "restore"},
}

var notifyKeys = []Key{
	{"to", "list of those who are told", "lista de quem é avisado", nil, "", first, "serve, notify test"},
	{"repeat", "after how long what still is wrong is said again, as `12h`. At least `10m`", "depois de quanto tempo o que ainda está errado é dito de novo, como `12h`. No mínimo `10m`", nil, "`1d`", first, "serve"},
	{"digest", "when everybody is told how all stands, with the checkpoint of the journal: a schedule, or `never`", "quando todos são avisados de como tudo está, com o ponto de controle (checkpoint) do diário: uma agenda, ou `never` (nunca)", nil, "`0 7 * * *`", first, "serve"},
	{"heartbeat", "a URL that is fetched as long as all is well, so that its silence is the alarm", "uma URL que é buscada enquanto tudo está bem, para que o seu silêncio seja o alarme", nil, "", first, "serve"},
}

var recipientKeys = []Key{
	{"url", "of the service, as a reference; as it is if it holds no secret: `smtp://`, `ntfy://`, `https://` and `http://`. A text in the place of the mapping is this key", "do serviço, como referência; direto se não contém segredo: `smtp://`, `ntfy://`, `https://` e `http://`. Um texto no lugar do mapeamento é esta chave", nil, "", first, "serve, notify test"},
	{"language", "of the messages", "das mensagens", []string{"en", "pt-BR"}, "that of the key `language`, or of the environment", first, "serve, notify test"},
	{"only", "list of what is told, if not everything: `damage`, `gap`, `rpo`, `drill`, `failure`, `journal`, `space`, `late`, `unread`, `copy`, `rto`, `clock`, `frozen`, `unproven`, `hold`, `setup`, `digest`", "lista do que é avisado, se não for tudo: `damage`, `gap`, `rpo`, `drill`, `failure`, `journal`, `space`, `late`, `unread`, `copy`, `rto`, `clock`, `frozen`, `unproven`, `hold`, `setup`, `digest`", nil, "all", first, "serve"},
}

var heartbeatKeys = []Key{
	{"url", "reference to the URL", "referência à URL", nil, "", first, "serve"},
	{"fail", "reference to a URL that is fetched instead if all is not well", "referência a uma URL que é buscada no lugar dela se nem tudo está bem", nil, "nothing is fetched then", first, "serve"},
	{"every", "how often. At least `1m`", "de quanto em quanto tempo. No mínimo `1m`", nil, "`5m`", first, "serve"},
}

var logKeys = []Key{
	{"format", "of each line", "de cada linha", []string{"text", "json"}, "`text`", first, "serve"},
	{"level", "the least that is written", "o mínimo que é escrito", []string{"debug", "info", "warn", "error"}, "`info`", first, "serve"},
}

// standards are the defaults that are words, in Portuguese. The others are the same in every language.
var standards = map[string]string{
	"the host's name": "o nome da máquina",
	"the machine's":   "o da máquina",
	"that of the first use, remembered in `state_dir`":               "a do primeiro uso, lembrada em `state_dir`",
	"that of `LC_ALL`, `LC_MESSAGES` or `LANG`":                      "o de `LC_ALL`, `LC_MESSAGES` ou `LANG`",
	"`COFRE_PASSWORD`, or the file that `COFRE_PASSWORD_FILE` names": "`COFRE_PASSWORD`, ou o arquivo que `COFRE_PASSWORD_FILE` indica",
	"the usual chain: `AWS_*` variables, shared file, instance role": "a cadeia usual: variáveis `AWS_*`, arquivo, papel da instância",
	"`PGPASSWORD`, `~/.pgpass`, or none":                             "`PGPASSWORD`, `~/.pgpass`, ou nenhuma",
	"the number of CPUs, up to 4":                                    "o número de CPUs, até 4",
	"WAL is not kept":                                                "o WAL não é guardado",
	"asked from the server":                                          "pergunta-se ao servidor",
	"that of the key `language`, or of the environment":              "o da chave `language`, ou do ambiente",
	"nothing is fetched then":                                        "nada é buscado então",
	"`TMPDIR`, or `/var/tmp`":                                        "`TMPDIR`, ou `/var/tmp`",
	"its place in the list":                                          "o seu lugar na lista",
	"all":                                                            "todos",
}

// sectionOf finds the keys of a type.
func sectionOf(t reflect.Type) (Section, bool) {
	for _, s := range Sections() {
		if s.of == t {
			return s, true
		}
	}
	return Section{}, false
}

// words are the only values of a key, by its path without indexes.
func words(path string) []string {
	t := reflect.TypeFor[Config]()
	parts := strings.Split(path, ".")
	for i, name := range parts {
		s, ok := sectionOf(t)
		if !ok {
			return nil
		}
		for _, k := range s.Keys {
			if k.Name == name && i == len(parts)-1 {
				return k.Words
			}
		}
		t = typeOf(t, name)
	}
	return nil
}

// typeOf is the type of a key of a mapping, without pointer and list; nil if there is no such key.
func typeOf(t reflect.Type, key string) reflect.Type {
	for field := range t.Fields() {
		if field.Tag.Get("yaml") == key {
			of := field.Type
			for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
				of = of.Elem()
			}
			return of
		}
	}
	return nil
}

// Unused names the keys that are set and that this version does not act on yet, so that nobody takes a promise in
// the file for one that is kept.
func (c *Config) Unused() []string {
	return unused(reflect.ValueOf(*c), "")
}

func unused(v reflect.Value, path string) []string {
	s, ok := sectionOf(v.Type())
	if !ok {
		return nil
	}
	var names []string
	for _, k := range s.Keys {
		field, ok := fieldOf(v, k.Name)
		if !ok || field.IsZero() {
			continue
		}
		full := strings.TrimPrefix(path+"."+k.Name, ".")
		switch of := reflect.Indirect(field); {
		case k.UsedBy == notYet:
			names = append(names, full)
		case of.Kind() == reflect.Struct:
			names = append(names, unused(of, full)...)
		}
	}
	return names
}
