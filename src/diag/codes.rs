//! The catalogue of codes: one line of title and a paragraph of advice each; `pulvinar explain CODE` prints it.

use super::Class;

/// One entry of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    pub code: &'static str,
    pub title: &'static str,
    /// What it means and what to try.
    pub text: &'static str,
}

/// Finds a code, in either case.
#[must_use]
pub fn explain(code: &str) -> Option<&'static Code> {
    ALL.iter().find(|c| c.code.eq_ignore_ascii_case(code))
}

/// The codes nearest to one that does not exist: those of its letter by their numbers, and those of its number.
#[must_use]
pub fn near(code: &str) -> Vec<&'static str> {
    let code = code.trim().to_ascii_uppercase();
    let number =
        |text: &str| text.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().unwrap_or(0);
    let wanted = number(&code);
    let other_letter = |known: &str| known.bytes().next() != code.bytes().next();
    let mut all: Vec<&str> = ALL.iter().map(|c| c.code).collect();
    all.sort_by_key(|known| (other_letter(known), number(known).abs_diff(wanted)));
    all.truncate(5);
    all
}

/// `F...` codes are about files, `U...` about the command line, `R...` about the answer, all others about the circuit.
#[must_use]
pub fn class(code: &str) -> Class {
    match code.as_bytes().first() {
        Some(b'F') => Class::File,
        Some(b'U') => Class::Usage,
        Some(b'R') => Class::Answer,
        _ => Class::Circuit,
    }
}

macro_rules! codes {
    ($($code:ident $title:literal : $text:literal;)*) => {
        $(#[doc = concat!("`", $title, "`")] pub const $code: &str = stringify!($code);)*
        /// Every code, in order.
        pub const ALL: &[Code] = &[$(Code { code: stringify!($code), title: $title, text: $text }),*];
    };
}

codes! {
    Y001 "the file is not UTF-8": "Circuit files are UTF-8 text; a byte-order mark is accepted. Save the file with that encoding.";
    Y002 "the file is empty": "There is no YAML document in it. `pulvinar new` writes a starter circuit.";
    Y003 "not valid YAML": "The parser could not read the text; the place named is where it gave up, the slip is there or a little before.";
    Y004 "nested too deep": "Lists and maps may nest 64 levels deep. Often a bracket is never closed.";
    Y005 "aliases expand too far": "The document would grow beyond all bounds when its aliases are written out.";
    Y006 "more than one document": "A file holds one circuit; remove the `---` line or split the file.";
    Y007 "YAML tags are not used": "Write `{normal: {std: 1}}`, not `!normal {std: 1}`.";
    Y008 "the file is too large": "A circuit file may have 16 MiB. Large matrices belong into .safetensors or .npy files.";
    S001 "a key is missing": "A circuit needs `schema`, `name`, `tokens`, `thalamus` and `output`; a stream needs `d_model`; a relay `pathway` and `cells`; a population `cells`; a projection `from`, `to` and `weights`.";
    S002 "wrong type of value": "The message says what belongs there.";
    S003 "a key stands twice": "In a map every key may stand once; YAML readers differ in which of two they take, so neither is taken.";
    S004 "not a name": "Names of relays, areas, populations, projections and parameters have letters, digits and `_`.";
    S005 "not a finite number": "`.nan` and `.inf` are YAML, but no circuit needs them.";
    S006 "a number out of its range": "The message says the range.";
    S007 "a count is too large": "At most 10^8 of anything may be named. Nothing is allocated before this check.";
    S008 "not a time": "Times need a unit: `10 ms`, `0.2 s`, `500 us`.";
    S009 "not one of the possible words": "The help lists what is possible.";
    S010 "exactly one choice": "Forms such as weights and inputs are maps with one key: `{normal: {std: 1}}`.";
    S011 "rows of different lengths": "A matrix written as a list of lists needs rows of the same length.";
    S012 "unknown key": "A misspelt key would otherwise be ignored in silence. The help lists the keys that are possible there.";
    S013 "another schema": "The first line of a circuit names the version of the language: `schema: pulvinar/1`.";
    S014 "an index stands twice": "`per` lists each of query and context at most once.";
    S015 "no such learning rule": "The help lists the rules.";
    S016 "a template's projection has a name that is taken": "A template of area A1 writes projections A1_W_K, A1_W_Q, ...";
    S017 "a parameter is not a single value": "`parameters` maps names to numbers, words or true/false.";
    S018 "no such parameter": "`$name` is filled in from the section `parameters`.";
    S019 "half a trace": "A rate is of a whole cell; a potential or an input is of one compartment: basal, apical or gate.";
    S020 "not a number with its unit": "Conductances, currents, rates, potentials and thresholds need units: `0.032 nS`, `4 nA`, `6 Hz`, `-75 mV`, `7.9e-14 mM^4 ms`. The help lists those that are possible there.";
    S021 "two shapes left open": "In `{kron: [...]}` the cells that a projection connects say how large the matrix is; that leaves room for one factor without a shape of its own. The others say theirs: `{identity: 4}`, `{centre: 4}`, `{ones: [1, 2]}`, `{zeros: [1, 2]}`, `{values: [[...]]}`.";
    S022 "positions with tokens of their own": "A stream of `positions` is computed from the numbers of its tokens: it has neither `d_model` (its width follows) nor `input`. `--tokens NAME=FILE` replaces it.";
    S023 "a part that cannot be included": "`include: {NAME: {circuit: FILE.yaml, tokens: {STREAM: RELAY}}}` puts the circuit of a file under `NAME.`. A relay per [query], as wide as the stream, feeds each of its streams (positions follow the clock of their feed); NAME is no area, relay or other part; layouts agree; files do not include each other in a ring.";
    U001 "--set names no parameter": "Only names of the section `parameters` can be set.";
    C001 "no such stream": "Streams are declared under `tokens.streams`; the short form declares one stream, `main`.";
    C002 "reserved name": "`tonic` is the one-cell population of value 1 that biases come from.";
    C003 "no index": "Every relay and population is replicated over query tokens, context tokens or pairs of them: `per: [query]`, `[context]`, `[query, context]`. An area's `microcolumns.per` is the default of its populations.";
    C004 "a relay per pair of tokens": "A relay carries one token, so it is per [query] or per [context].";
    C005 "a name for two things": "Relays and areas share one space of names.";
    C006 "too many cells or weights": "The sizes are checked before anything is allocated: 10^8 cells in a population, 10^8 weights in a circuit.";
    C007 "token pairs in time": "With `layout: time` there is one set of columns, which meets one token after another; a population per [query, context] cannot exist there.";
    C008 "a memory that is not per [context]": "`accumulate` folds the activation over the context tokens; what it sends is indexed by query.";
    C009 "delta rule without a product": "The delta rule reads key (apical) and value (basal), so its population needs `activation: product`.";
    C010 "no such population": "Populations are named AREA.POPULATION, relays by their name, and `tonic` is always there.";
    C011 "not something that sends": "Cells send one rate: `from: A1.deep`. Error signals are `A1.deep.feedback.apical` (of what divides: `A1.deep.feedback.apical_divisor`, where something does) and may end only on `third`.";
    C012 "no such compartment": "Cells have `basal` and `apical`, memories whose rule is `gated` or `delta` also `gate`, learning cells also `third`.";
    C013 "tonic receives nothing": "`tonic` is a source of biases only.";
    C014 "an input relay with inputs": "A relay that carries tokens in cannot also receive.";
    C015 "no gate there": "Only `gated` and `delta` memories have a gate.";
    C016 "feedback outside third": "`feedback.basal`, `feedback.apical` and those of their divisors carry errors; they end on `third`, which never enters the activation.";
    C017 "divisive effect there": "Divisive inhibition divides the additive input of basal or apical.";
    C018 "tied weights with a rule": "`same_as` and `transpose_of` take the partner's matrix, also while that learns.";
    C019 "indices that do not fit": "A projection broadcasts an index that only the target has, sums the context if only the source has it (the target must be per query), and aligns [query] to [context]. No projection sums over queries, but see `third`.";
    C020 "identity that is not square": "`identity` connects cell 1 to cell 1, 2 to 2 and so on.";
    C021 "rank too large": "A matrix has at most as many dimensions as its smaller side.";
    C022 "a tie that leads nowhere": "`same_as` and `transpose_of` name another projection and stand on their own.";
    C023 "weights of another shape": "Rows are target cells, columns source cells, after `onto` and `pool`.";
    C024 "blocks that do not divide": "The number of blocks must divide both source and target cells.";
    C025 "a mask wider than the columns": "full > causal > strict: a sum may take fewer columns than its area has, never more.";
    C026 "a mask on a projection that sums nothing": "Masks belong to sums over the context and to areas.";
    C027 "no microcolumns there": "`onto` and `pool` speak of microcolumns and their cells; relays have none.";
    C028 "weights against their sign": "`sign` promises that weight x gain has one sign (Dale's law).";
    C029 "a ring of ties": "Each tie follows another; one of them needs weights of its own.";
    C030 "nothing to divide": "A compartment is (sum of additive inputs) / (sum of divisive inputs).";
    C031 "a product with one factor": "`activation: product` multiplies basal and apical: both need input.";
    C032 "a population that receives nothing": "Its rate would always be the same.";
    C033 "gate and rate": "A gated memory needs a projection to its gate; a delta memory needs either a rate or a gate.";
    C034 "a relay without input or stream": "An input relay names its stream with `tokens:` unless there is a stream `main`. Where a relay passes on what it receives, `main` is taken for granted only by the one input of an index ([query] or [context]) that is read before the first block ends: another relay that receives nothing may lack a projection.";
    C035 "a relay of another width than its tokens": "An input relay has one cell for each number of a token.";
    C036 "weights that need another width": "`centre` is square; `rotate` turns n cells (an even number) into 2 n: what arrives, then its quarter turn; `kron` has as many rows and columns as its factors multiplied. The help says which widths would fit.";
    C037 "positions that do not fit": "Positions number the tokens of another stream, whose name is their `clock`; with `one_hot: n` there are numbers from 0 to n - 1, counted from `offset`.";
    C040 "two clocks in one index": "Each index of a population follows the tokens of one stream, or of streams with a common clock.";
    C041 "a causal mask between two clocks": "Causal and strict compare token numbers, which means something only on one clock.";
    C042 "a loop within a token step": "Every population needs its sources first. A projection with `delay` closes a loop legally (in time, not in the algebra).";
    C043 "two masks in time": "With `layout: time` all memories read and write at the same moments.";
    C044 "an output that is not a relay": "Results leave through a thalamic relay.";
    C045 "an output that is an input": "The output relay must receive something.";
    C046 "an unequal output pair": "`output: {plus: R, minus: S}` subtracts cell by cell.";
    C047 "a context without tokens": "What is summed over the context must depend on a relay per [context]: its stream says how many tokens there are.";
    C050 "times that do not fit": "Delays and durations need at least one step `dt`; Euler's method needs a step below twice the shortest time constant. Without a delay, rates arrive within the step.";
    C051 "two ends of one run": "With `layout: time` the schedule of the tokens says when a run ends.";
    C052 "noise in the wrong place": "A noise current acts on membranes, which input relays and `tonic` lack; a run with noise never settles and needs a duration.";
    C053 "nothing to record there": "Traces are of populations that the output depends on, of compartments that receive something, and of cells and tokens that exist.";
    C054 "traces too long": "The size of all traces is checked before the run: record fewer cells or tokens, less often, or run shorter.";
    C055 "a lesion of nothing": "Lesions hit populations and projections that the output depends on.";
    C060 "a task that does not fit the circuit": "A task says how wide its streams are and which share a clock: targets have the width and the clock of the output, examples and question the same width. The message says which stream is at fault.";
    C061 "a stream that the task does not fill": "While a circuit learns, every relay gets its tokens from the task. Tasks fill the streams that they name; a teacher also all others, as their `input: {gaussian: ...}` says.";
    C062 "errors that cannot be evaluated": "Learning works on settled values: loops through delays only among cells of one token index, which each token settles for itself, feedback that runs one way from the output towards the input, and none out of a memory.";
    C063 "a rule that does not fit": "A rule needs the signals that it is made of: errors on the third compartment, a memory for traces, weights that can change.";
    C070 "rates among spikes": "A circuit in which cells fire (`spike_trains`) or are cables (`cable`) has no tokens, indices, activations, memories or learning rules of rates; and nothing of a neuron that fires by itself. Circuits of rates and of spikes are separate files.";
    C071 "a neuron that is not wired": "A circuit of spikes has one population with `cable`, of one cell, which is the output; one projection to its spines, from the keys, and one to its soma, from the query.";
    C072 "axons and spines that do not fit": "Each axon contacts neighbouring spines of its own: `weights: {blocks: {count: AXONS, of: ones}}`, a matrix of spines x axons. The cable has `spines` in all (ten for each axon if it does not say), in six branches of equal numbers; heads that stand for several spines divide those of an axon. Choose numbers that divide.";
    C073 "spike trains that do not fit": "One train for each cell, rising, within the run, no two spikes of a cell within a step; a rate below 1 / dead time. Only the query follows, and only the keys. Files hold milliseconds, and spikes in every window of every trial.";
    C074 "a window outside the run": "Phases and traces lie within the run, which ends at `simulation: {stop: {duration: ...}}`, or soon after the last phase. Lengthen the run or shorten the window.";
    C075 "a time step too coarse": "A neuron as a cable needs steps of at most 0.05 ms: at 0.1 ms integrals of calcium no longer follow those of fine steps (correlation 0.97). 0.025 ms is the step of the published simulations; at 0.05 ms integrals are 6% too large.";
    C076 "a parameter of the neuron out of its range": "Conductances are never negative, times and sizes are positive, and receptors decay more slowly than they rise. The message says which one, and the range.";
    C077 "no such axon": "Axons are counted from 0; there are as many as the keys' population has cells.";
    C078 "a fidelity that does not reach so far": "`fidelity: event` is the match phase in closed form: no potentials, so no somatic spikes of the neuron's own, no control phase, no spurious spikes, no traces. `fidelity: cable` has them.";
    C079 "no threshold for this window": "The threshold of potentiation is known for match windows of 0.5, 1 and 2 s: there a tenth of all trials has an unmatched axon above it. For others write `potentiation: {theta: ... mM^4 ms}`.";
    C080 "more memory than may be taken": "Matrices, tokens, the state of cells and heads are estimated before anything is allocated. The limit is half of the machine's memory; `--max-memory 8GB` sets another. Fewer cells, `onto`, `pool`, `ones` and `identity` (which take no memory), memories instead of columns for pairs of tokens, and `simulate --stream` take less.";
    N001 "degree 2 in the query": "A head is linear in the query token (its kernel apart): two factors of x_i multiply. Typical: the value comes from the query relay, or all relays are swapped.";
    N002 "degree 3 in the context": "A head is key times value in the context token; a third factor of x_j multiplies. Typical: W_Q starts from a relay per [context].";
    N003 "a sum without a query": "A summed term has no factor of the query token, and is no bias of a query that weighs the same values. Typical: the query is replaced by `tonic`, a skip starts at a relay per [context]. A mean needs no query: divide by the sum of the same weights over the same mask. Where other inputs of the same compartment bring a query, the projection without one is named.";
    N004 "a nonlinear value": "Of the two factors of a context token one, the value, is linear in what it reads. A nonlinear population per [context] is a map of its token, and values may read that; one per [query, context] is not.";
    N005 "a function of the score without a value": "A function of the score weighs values: exp, a power, or a chain of functions of one cell. It is no answer by itself.";
    N006 "a nonlinearity after the value": "A nonlinear activation acts on something that already holds the value or a sum over the context. What has been summed reaches nonlinear cells through a relay: put one behind it, and what reads the relay is a map of the next token.";
    N007 "the residual is divided": "Divisive inhibition acts on everything that ends on the compartment, the direct path included.";
    N008 "the divisor is another sum": "A divisor is the sum of the very weights that multiply the values (beside it a constant or cells of the query token may stand), or cells of one token, which divide that token's factor. The projection that divides is named: change what it brings, or divide behind a relay.";
    N009 "an output per context": "Attention answers once for each query token.";
    N010 "no relay between blocks": "The output of a head becomes the next block's token only through a thalamic relay.";
    N011 "two sums multiplied": "The product of two sums over the context is no head.";
    N012 "a sum times a context token": "A memory is read by the query.";
    N013 "rectified parts that do not cancel": "Plus/minus circuits must treat x+ and x- with opposite weights in every factor. The output of heads is not rectified: a relay with `part` is an output only beside its partner, as `output: {plus: R, minus: S}`.";
    N014 "no head and no map": "The output is a linear function of each token alone.";
    N015 "recurrence": "Delayed loops lie among populations of one token index, where each token settles for itself. A loop through a relay, a pair of tokens or a memory has no algebraic form.";
    N016 "a nonlinear mix of both tokens": "A score is a sum of products of one factor of each token (a factor may be a map of its token), and a function of that score. Another nonlinear function of both is no head.";
    N017 "not a delta memory": "The delta rule compares each microcolumn's value with what its key recalls.";
    N018 "not a gate": "Gates are one-layer functions of the context token, or of a map of it.";
    N019 "a power in the wrong place": "On pairs of tokens `{power: {exponent: n}}` belongs on the one-cell score. A power of a token's own cells is a map: give that population per [context] or per [query].";
    N020 "divided twice": "One normalisation for each head.";
    N021 "a memory of the query": "What is accumulated comes from context tokens.";
    N022 "a relay per context that ends a block": "Blocks end on relays per [query]; a relay per [context] may carry a map of its token.";
    N023 "a nonlinear direct path": "Beside its heads a block holds linear paths of tokens and of maps.";
    N024 "no plus/minus form": "`--dale` splits every signal into halves that are never negative. That leaves no room for a delta memory (it subtracts what its key recalls), for an odd function (`sign`, odd powers) of a signed argument, for gates and divisors that may be negative, and for loops through delays. Use an even or positive function (`relu`, `exp`, `elu_plus_one`, `sigmoid`, even powers), feed gates and divisors from positive rates through positive weights, or take a hebbian, decay or gated memory.";
    N025 "a circuit of spikes": "Match-and-control is not linear attention. While query and keys fire, the score of an axon is nearly a sum over pairs of spikes, g = sum K(lag), where lag is from the key's spike to the query's in the spine: with binned trains the bilinear form k' K q of a linear kernel, with a fixed matrix K that peaks at 7 ms. For queries at random that explains 0.81 to 0.85 of the variance of g (91 free lags, or the closed form of `fidelity: event`). What follows is no sum of values: a steep sigmoid of g over its threshold (slope 20) opens synapses, and the spikes of the axons that passed it make the soma fire, each for itself. `pulvinar simulate FILE` runs the circuit.";
    F001 "file not found": "The path names no file. Relative paths inside a circuit file start at the folder of that file.";
    F002 "not a regular file": "A directory or a device was given where a file is needed.";
    F003 "file could not be read": "The operating system refused to read the file; the message says why.";
    F004 "file could not be written": "Outputs are written under a temporary name and renamed; the earlier file, if any, is untouched. So with a result for stdout that could not be written (a closed pipe is no error).";
    F005 "file is too large": "A guard against running out of memory. Tokens and weights may have at most 2^31 bytes; `simulate --stream` reads tokens of any length from .npy files.";
    F006 "unknown file format": "Known by their ending: .npy, .npz, .csv, .safetensors.";
    F007 "malformed file": "The header or the body is damaged or lies about its size. Nothing was allocated on its word.";
    F008 "tensor not found in the file": "Name one of the tensors the file holds.";
    F009 "wrong shape or type in a file": "The tensor does not have the shape or number type that is needed here.";
    F010 "number that is not finite": "NaN or infinity in tokens or weights.";
    F011 "output that exists": "Give another -o, or --force to replace what is there. Of a run directory, --force replaces the files of the earlier run; other files in it stay.";
    F012 "what heads cannot hold": "The native heads file holds linear, exp and power kernels with no, hebbian, decay or constant-rate delta memories. Layers of transformers are read with full, causal and strict masks; a mask tensor that holds another one is refused.";
    F013 "unequal numbers of tokens": "Streams that share a clock have one token each at every step.";
    F014 "no known layout of attention weights": "Read are: the native heads file, torch MultiheadAttention (`in_proj_weight`, `out_proj`), `q_proj` `k_proj` `v_proj` `o_proj`, BERT (`attention.self.query`, `attention.output.dense`), GPT-2 (`c_attn`, `c_proj`, stored either way), TransformerLens (`attn.W_Q`), and fewer key and value heads than query heads. The message lists the tensors that look like attention, and what the nearest layout lacks.";
    F015 "which layer, block or head": "A file with several layers needs --prefix, a stack of blocks is chosen from with --block (from 1), heads with --select (from 0).";
    F016 "number of heads": "Most layouts do not say how many heads share a matrix: give --heads. It must divide the rows of the query matrix.";
    F017 "a checkpoint of another training": "A training goes on from its own checkpoint only: the same circuit, the same settings. `train --resume DIR` alone takes both from the directory.";
    F018 "a tensor of the layer that is not read": "Everything inside an attention module must be understood: a gate, a norm, a convolution, an adapter or a table of positions beside the matrices makes the layer another function than its heads. Known to change nothing are BERT's LayerNorm behind the output matrix, masks that say what they are, and position ids that count the tokens. `--ignore TENSOR` leaves one out on your responsibility; reports, the circuit and the JSON repeat it.";
    F020 "an output over an input": "No run replaces a file that it reads, also not with --force and not under another name (a link).";
    F021 "another run writes there": "One run at a time writes to a directory. The claim ends with the program that has it, also if that is killed.";
    F022 "damaged": "Weights, checkpoints and run directories carry the SHA-256 of what was written; the file is not that any more. `pulvinar verify DIR` says which files are whole. Run it again, or take a copy.";
    R001 "diverged": "A number became infinite, or a non-zero number was divided by zero. The message says where.";
    R002 "expect not met": "The section `expect` claims something about the compiled heads that is not so.";
    R003 "tokens that a block does not run on": "A stream is missing, or has another width or number of tokens than its block needs.";
    R004 "blocks that cannot be compared": "The circuit and the heads are not functions of the same tokens: their widths or streams differ. `--prefix` and `--block` choose another layer or block.";
    R005 "still growing": "The largest rate of a delayed loop in the second half of a run was more than four times that in the first half: its gain is above one (a gain of one doubles it). Or the state of a delta memory was: a write with rate x |key|^2 above 2 overshoots, and the next one more. A warning; the output is whatever it had grown to.";
    R006 "learning diverged": "A weight or a rate became infinite or no number while learning. The last good checkpoint is kept; a smaller rate, fewer tokens or smaller tokens keep the steps small.";
    U002 "--tokens names no stream": "Write `--tokens FILE`, or `--tokens STREAM=FILE` for circuits with several streams.";
    U003 "a stream without tokens": "Give them with --tokens, or with `input:` in the circuit.";
    U004 "not in this version": "The capability is planned; the message says which verb or mode works today.";
    U005 "bad command line": "See `pulvinar help`.";
    U007 "an ending that does not fit": "-o receives what --emit names: spec .yaml .yml; graph and factors .txt; heads .safetensors, or .txt for the text; dot .dot .gv; svg .svg; without --emit, heads .safetensors. `new` writes .yaml or .yml. `-` is stdout.";
    F034 "a type of models that is not known": "`config.json` says what a model is (`model_type`), and by that what its layers are called, how their matrices are fused and what is done to queries, keys and scores. Nothing of it is guessed. docs/architectures.md lists the types that are known. `--as TYPE` reads the model like one of another type, and every verdict then says so; `--prefix` reads a layer by the names of its tensors alone, where they say enough.";
    F030 "no tokens": "A file of tokens holds none: it has a header and no rows, or an array of length 0. Nothing can be run on it. (The library runs on empty sequences and gives empty ones.)";
    F031 "a file that takes more memory than may be taken": "Numbers are held in 64 bits while they are read. The limit is half of the machine's memory; `--max-memory 8GB` sets another. `simulate --stream` reads tokens of any length from .npy files.";
    U006 "a circuit that the experiment cannot use": "Experiments feed the streams `cue`, `key` and `value`, set parameters, and read what to do from `protocol`. `pulvinar experiment NAME --print` prints a circuit that fits; change a copy of it.";
}
