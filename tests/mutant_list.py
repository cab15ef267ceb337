"""The mutants of the core: one small fault each, and the test files that should fail.

What a name says is the fault, so that a survivor says which promise no test keeps. `mutants.py`
puts the faults in; tests/project/test_mutants.py holds the list to the code.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One fault: in a file, a text that stands there once, and what is put in its place."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


def mutated(text: str, mutant: Mutant) -> str | None:
    """Put a fault into the text of its file; None if its place is not there, or more than once."""
    if text.count(mutant.before) != 1:
        return None
    return text.replace(mutant.before, mutant.after)


def faults_of(file: str, tests: list[str], faults: list[tuple[str, str, str]]) -> list[Mutant]:
    """List the mutants of one file of the package, from (name, text before, text after)."""
    paths = tuple(f"tests/{test}.py" for test in tests)
    return [Mutant(name, f"minirec/{file}", *texts, paths) for name, *texts in faults]


METRICS = faults_of(
    "metrics.py",
    ["test_metrics", "evaluation/test_evaluation"],
    [
        ("half a tie is rounded down", "(equal + 1) // 2", "equal // 2"),
        ("rank k earns nothing", "np.where(ranks <= k,", "np.where(ranks < k,"),
        (
            "a target's own NaN passes among sampled candidates",
            " | torch.isnan(own[:, 0])",
            "",
        ),
        (
            "a target at -inf gets a rank",
            "ranks.masked_fill(is_excluded, TARGET_EXCLUDED)",
            "ranks",
        ),
        ("the padding is a candidate", "others = scores[:, 1:]", "others = scores"),
        (
            "a repeated negative counts as the padding's score",
            "scores.gather(1, candidates).masked_fill(candidates == 0, -torch.inf)",
            "scores.gather(1, candidates)",
        ),
    ],
)

LOSSES = faults_of(
    "losses.py",
    ["test_losses"],
    [
        (
            "rows without a target move the embeddings",
            "x = representations.masked_fill(absent[:, None], 0)",
            "x = representations",
        ),
        (
            "log sum exp without the maximum",
            "top = torch.maximum(top, scores[items].amax(0, keepdim=True))",
            "top = torch.zeros_like(top)",
        ),
        (
            "a mean over all rows, in place of those with a target",
            "n_targets = (~absent).sum()",
            "n_targets = absent.sum() + (~absent).sum()",
        ),
        ("without any target the loss is 0 / 0", ".sum().clamp_min(1)", ".sum()"),
        (
            "the last target of a chunk is left out",
            "rows = slice(start, start + chunk)",
            "rows = slice(start, start + chunk - 1)",
        ),
        (
            "items beyond the equal pieces are left out",
            "return result + a[cut:].T @ b[cut:]",
            "return result",
        ),
        (
            "the embeddings' gradient ignores what comes from above",
            "grad_embeddings * scale,",
            "grad_embeddings / n_targets,",
        ),
        (
            "half precision adds up in half precision",
            "dtype = torch.promote_types(representations.dtype, torch.float32)",
            "dtype = representations.dtype",
        ),
        (
            "bfloat16 scores are not widened",
            "min(chunk, len(x)), dtype=dtype)",
            "min(chunk, len(x)), dtype=product_dtype)",
        ),
        (
            "a second derivative is silently wrong",
            "if torch.is_grad_enabled():",
            "if False:",
        ),
        (
            "the padding is always a class",
            "first = 0 if padding_class else 1",
            "first = 0",
        ),
        (
            "the padding is never a class",
            "first = 0 if padding_class else 1",
            "first = 1",
        ),
        (
            "a position behind the last counts the last target again",
            "targets[places] * (positions <= last)",
            "targets[places]",
        ),
    ],
)

STORAGE = faults_of(
    "storage.py",
    ["test_storage"],
    [
        (
            "a file may hold code",
            'map_location="cpu", weights_only=True',
            'map_location="cpu", weights_only=False',
        ),
        ("a file is not on the disk when its name is", "os.fsync(file.fileno())", "pass"),
        ("a name is not on the disk in the end", "_write_names_to_disk(path.parent)", "pass"),
        (
            "a file is written over the old one",
            "os.replace(temporary, path)",
            "path.write_bytes(temporary.read_bytes())",
        ),
        ("a checksum is not compared", "if digest.hexdigest() != found[2].decode():", "if False:"),
        (
            "a file that lost its last line passes for one of format 1",
            "if number == FORMAT and not checked:",
            "if False:",
        ),
        (
            "a file of a later version is read",
            "    if number > FORMAT:\n",
            "    if False:\n",
        ),
        ("damage to a file of format 1 goes unseen", "archive.testzip() is not None", "False"),
        ("members are unpacked to any size", "    if packed:\n", "    if False:\n"),
        ("one number may be a tensor of any size", "return tensor.numel()", "return 0"),
        ("a missing part goes unseen", "    if missing:\n", "    if False:\n"),
        ("a checkpoint passes for a model", "    if found != kind:\n", "    if False:\n"),
        (
            "whoever is writing is swept",
            "with _gone_in_the_end(lock), _held(lock):\n            try:",
            "with contextlib.nullcontext():\n            try:",
        ),
        ("nothing is swept", "        _sweep(path)\n", "        pass\n"),
        ("a file in use is anybody's", "stack.enter_context(_held(lock))", "pass"),
        ("a full disk names no file", "if of_the_disk or ", "if "),
    ],
)

SERVING = faults_of(
    "serving.py",
    ["test_serving"],
    [
        ("scores of a model are not made double", ".cpu().double()", ".cpu()"),
        (
            "the oldest items are read",
            "histories[row][-longest:]",
            "histories[row][:longest]",
        ),
        ("the padding can be recommended", "scores[:, 0] = -torch.inf\n", "pass\n"),
        ("a raw id may be there twice", "if repeated.any():", "if False:"),
    ],
)

INTERACTIONS = faults_of(
    "data/interactions.py",
    ["data/test_interactions", "data/test_order"],
    [
        (
            "the same item at another time is a repeat",
            "moment = np.cumsum(~tied_to_previous[tied])",
            "moment = np.zeros(tied.sum())",
        ),
        (
            "a key of two digits is sorted by the lower one",
            "range(0, n_bits, n_key_bits)",
            "range(0, min(n_bits, n_key_bits), n_key_bits)",
        ),
        (
            "k interactions are too few for a k-core",
            "(of_user[users] >= k)",
            "(of_user[users] > k)",
        ),
        (
            "a k-core is filtered once",
            "while keep.sum() != n_kept_before:",
            "if keep.sum() != n_kept_before:",
        ),
        (
            "the fingerprint does not see where users begin",
            "self.items.tobytes() + self.offsets.tobytes() + raw_ids",
            "self.items.tobytes() + raw_ids",
        ),
        ("an item 0 is taken", "self.items.min() < 1 or ", ""),
        ("the caller's times are not copied", "times = times.copy()", "times = times"),
    ],
)

SPLITS = faults_of(
    "data/splits.py",
    ["data/test_splits"],
    [
        (
            "popularity counts what is held out, too",
            "np.cumsum(begins - ends)[:n] > 0",
            "np.cumsum(begins - ends)[:n] >= 0",
        ),
        (
            "what happened at the moment of the cut trains",
            "interactions.timestamps < moment",
            "interactions.timestamps <= moment",
        ),
        (
            "a target needs no history",
            "phase_begins > histories_begin",
            "phase_begins >= histories_begin",
        ),
        (
            "rows of several files are not sorted stably",
            'np.argsort(np.concatenate(users_of_files), kind="stable")',
            "np.argsort(np.concatenate(users_of_files))",
        ),
        (
            "the next user's first row goes back in time",
            "is_earlier[joined.offsets[1:-1] - 1] = False",
            "pass",
        ),
        (
            "a row may stand in two files",
            "    _refuse_rows_in_two_files(joined)\n",
            "",
        ),
        (
            "files with different clocks are put on one",
            " or len(units) > 1:",
            ":",
        ),
    ],
)

BATCHING = faults_of(
    "data/batching.py",
    ["data/test_batching", "evaluation/test_evaluation"],
    [
        (
            "the valid item is trained on",
            "split.train_ends - self.starts - 1, 0)",
            "split.train_ends - self.starts, 0)",
        ),
        (
            "rows are not shuffled",
            "rng.permutation(np.flatnonzero(numbers_of_rows == shape_number))",
            "np.flatnonzero(numbers_of_rows == shape_number)",
        ),
        (
            "batches are not shuffled",
            "order = rng.permutation(len(which))",
            "order = np.arange(len(which))",
        ),
        (
            "every epoch has the order of the first",
            "np.random.default_rng([self.seed, epoch])",
            "np.random.default_rng([self.seed, 0])",
        ),
        (
            "the first counted target of a window is left out",
            "columns >= lengths - counted",
            "columns > lengths - counted",
        ),
        (
            "a window may have nothing hidden",
            "hidden |= is_last & (n_hidden[window] == 0)",
            "pass",
        ),
        (
            "hidden items can be seen",
            "inputs = torch.where(is_hidden, mask_token, inputs)",
            "pass",
        ),
        (
            "a user has a prefix too few",
            "place_in_order <= self.prefixes_per_user",
            "place_in_order < self.prefixes_per_user",
        ),
        (
            "an empty row trains on the first row's target",
            "Batch(inputs, next_items * is_real)",
            "Batch(inputs, next_items)",
        ),
        (
            "an epoch may have more targets than there is room",
            "if n_targets > shape.n_targets:",
            "if False:",
        ),
        (
            "the oldest items of a long history are judged",
            "padded(items, positions - lengths[rows], lengths[rows])",
            "padded(items, targets.starts[rows], lengths[rows])",
        ),
        (
            "the test history leaves out the valid item",
            "padded(items, positions - lengths[rows], lengths[rows])",
            'padded(items, positions - lengths[rows], lengths[rows] - (which == "test"))',
        ),
    ],
)

WIDTHS = faults_of(
    "data/widths.py",
    ["data/test_widths"],
    [
        (
            "the padding of the narrower rows counts nothing",
            "totals = least[:i] + padding",
            "totals = padding",
        ),
    ],
)

PLANTED = faults_of(
    "data/planted.py",
    ["data/test_planted"],
    [
        (
            "padding says something about the genre",
            "step = np.where(real, by_taste + whatever_the_genre[:, None], 1.0)",
            "step = by_taste + whatever_the_genre[:, None] + 1e-9",
        ),
        (
            "the oracle sees the premiere that it is asked for",
            "premiere = premieres[:, t - 1]",
            "premiere = premieres[:, t]",
        ),
        (
            "without a premiere the echo's weight is lost",
            "inherited * ~has_premiere",
            "inherited * 0",
        ),
        (
            "a step backwards sets no direction",
            "np.isin(moved, SHELF - STEPS)",
            "np.isin(moved, -STEPS)",
        ),
    ],
)

TIMES = faults_of(
    "data/times.py",
    ["data/test_times"],
    [
        (
            "a negative fraction counts from the whole number above",
            "whole = -whole - has_fraction",
            "whole = -whole",
        ),
        (
            "ticks overflow",
            "largest * 10**finer < INT64_LIMIT and ",
            "",
        ),
        (
            "times with one whole part are a tie",
            " | (fraction[1:] != fraction[:-1])",
            "",
        ),
        (
            "numbers and dates share a column",
            "if part.are_dates != are_dates:",
            "if False:",
        ),
        (
            "digits behind the 18th round to the nearest",
            "Decimal(1).scaleb(-DECIMALS), ROUND_FLOOR, EXACT",
            "Decimal(1).scaleb(-DECIMALS), None, EXACT",
        ),
    ],
)

TIMES += faults_of(
    "data/times.py",
    ["data/readers/test_coded"],
    [
        (
            "seconds and milliseconds share a column",
            "        _refuse_two_units(moments.whole)\n",
            "        pass\n",
        ),
    ],
)

RAW_IDS = faults_of(
    "data/raw_ids.py",
    ["data/test_raw_ids", "data/test_interactions", "data/readers/test_coded"],
    [
        ("007 is 7", r"(-?[1-9]\d{0,18}|0)", r"(-?\d{1,19})"),
        ("a missing id is an id", "if len(codes) and codes.min() < 0:", "if False:"),
        (
            "a negative id is counted from the end",
            "raw.min() >= 0 and ",
            "",
        ),
    ],
)

FRAMES = faults_of(
    "data/frames.py",
    ["data/test_frames"],
    [
        ("2.5 is 2", "if are_whole.all()", "if are_whole.any()"),
        ("2^63 fits into int64", "(np.abs(wide) < 2.0**63)", "(np.abs(wide) <= 2.0**63)"),
    ],
)

READERS = [
    *faults_of(
        "data/readers/engine.py",
        ["data/readers/test_engine", "data/readers/test_requests"],
        [
            (
                "stray quotes take the fast way",
                "if layout.quoted and marks.has_stray_quotes:",
                "if False:",
            ),
            (
                "a lonely return ends no line",
                "if marks.has_lonely_returns or ",
                "if ",
            ),
            (
                "rows sorted outside of memory are not in the file's order",
                '["user", "time", "row"]',
                '["user", "time", "item"]',
            ),
            (
                "an error names a row of those that passed the filter",
                "return name_row(int(kept[row]))",
                "return name_row(row)",
            ),
        ],
    ),
    *faults_of(
        "data/readers/sequences.py",
        ["data/readers/test_readers", "data/readers/test_requests"],
        [
            ("a leading zero is lost", " or has_leading_zero.any()", ""),
            ("an integer of 20 digits overflows", "MOST_DIGITS = 18", "MOST_DIGITS = 20"),
            (
                "users with one item are lonely",
                "np.count_nonzero(items_of_line == 0)",
                "np.count_nonzero(items_of_line <= 1)",
            ),
        ],
    ),
    *faults_of(
        "data/readers/tables.py",
        ["data/readers/test_readers"],
        [
            (
                "too many fields are no error",
                "if len(fields) != layout.n_fields:",
                "if len(fields) < layout.n_fields:",
            ),
            (
                "a row is named by the line on which it ends",
                "yield line + lines_read, fields",
                "yield line + rows.line_num - 1, fields",
            ),
        ],
    ),
    *faults_of(
        "data/readers/lines.py",
        ["data/readers/test_readers"],
        [
            (
                "the mark of UTF-8 is part of the first name",
                "piece = piece.removeprefix(UTF8_MARK)",
                "pass",
            ),
        ],
    ),
    *faults_of(
        "data/readers/coded.py",
        ["data/readers/test_coded", "data/readers/test_requests"],
        [
            (
                "an id may be no UTF-8",
                "    _refuse_bad_bytes(column, role, name_row)\n",
                "",
            ),
            (
                "the first row of a file is named as one of the file before",
                "while row >= lengths[part]:",
                "while row > lengths[part]:",
            ),
        ],
    ),
    *faults_of(
        "data/readers/header.py",
        ["data/readers/test_layouts"],
        [
            (
                "of two fields of one name the first is read",
                "if _names_there_twice(names, positions, request):",
                "if False:",
            ),
        ],
    ),
    *faults_of(
        "data/readers/json_records.py",
        ["data/readers/test_readers"],
        [
            (
                "a later record's better key is passed over",
                "if shape not in known_shapes:",
                "if False:",
            ),
        ],
    ),
    *faults_of(
        "data/readers/unpacking.py",
        ["data/readers/test_content"],
        [
            (
                "a file unpacks without bounds",
                "_check_size(name, unpacked_bytes, packed_bytes)",
                "pass",
            ),
        ],
    ),
    *faults_of(
        "data/readers/file.py",
        ["data/readers/test_requests"],
        [
            (
                "files that match a pattern are read in any order",
                "found = sorted(glob.glob(str(path), recursive=True))",
                "found = sorted(glob.glob(str(path), recursive=True), reverse=True)",
            ),
        ],
    ),
]

LAYERS = [
    *faults_of(
        "layers/attention.py",
        ["layers/test_attention", "models/test_transformers"],
        [
            (
                "a chunk counts itself among those before it",
                "sums.cumsum(2) - sums",
                "sums.cumsum(2)",
            ),
            ("a position does not meet itself", "(q @ k.mT).tril() @ v", "(q @ k.mT).tril(-1) @ v"),
            ("linear attention sees padding", "k = k * real[:, None, :, None]", "pass"),
            ("the released form is not divided by sqrt(e)", "v = v / width**0.5", "pass"),
            (
                "attention drops weights in eval mode, too",
                "self.dropout if self.training else 0.0",
                "self.dropout",
            ),
            (
                "a length of 0 has an infinite slope",
                "squares.clamp_min(EPSILON**2).sqrt()",
                "squares.sqrt().clamp_min(EPSILON)",
            ),
        ],
    ),
    *faults_of(
        "layers/bd_lru.py",
        ["layers/test_bd_lru", "models/test_recblr"],
        [
            (
                "a step does not gate its output",
                "self.output(F.silu(z) * h)",
                "self.output(h)",
            ),
            (
                "padding moves the state",
                "return gates.masked_fill(~real[..., None], -math.inf)",
                "return gates",
            ),
            (
                "decays to be drawn are spread",
                "return torch.randn(n)",
                "pass",
            ),
            (
                "a step lets in all of an item",
                "scale * torch.sigmoid(i) * x",
                "scale * x",
            ),
        ],
    ),
    *faults_of(
        "layers/feed_forward.py",
        ["models/test_starts_and_dropout", "models/test_recblr", "models/test_transformers"],
        [
            (
                "the feed-forward has no residual",
                "self.norm(x + self.dropout(self.narrow(wide)))",
                "self.norm(self.dropout(self.narrow(wide)))",
            ),
            (
                "the feed-forward drops nothing inside",
                "self.dropout(self.activation(self.widen(x)))",
                "self.activation(self.widen(x))",
            ),
        ],
    ),
    *faults_of(
        "layers/gated_mlp.py",
        ["layers/test_gated_mlp"],
        [("the gate is not applied", "gate * self.value(z)", "self.value(z)")],
    ),
    *faults_of(
        "layers/gru.py",
        ["layers/test_gru"],
        [
            (
                "the update gate turns to the old state",
                "torch.lerp(h.to(candidate.dtype), candidate, z)",
                "torch.lerp(candidate, h.to(candidate.dtype), z)",
            ),
            (
                "the reset gate acts after U",
                "F.linear(r * h, candidate_rows)",
                "r * F.linear(h, candidate_rows)",
            ),
        ],
    ),
    *faults_of(
        "layers/linear_rnn.py",
        ["layers/test_linear_rnn"],
        [
            (
                "the LRU's frame turns the wrong way",
                "cos * imaginary - sin * real",
                "cos * imaginary + sin * real",
            ),
            (
                "the LRU's input is scaled by 1 - |lambda|",
                "log_squared = -2 * self.nu.exp()",
                "log_squared = -1 * self.nu.exp()",
            ),
            (
                "the LRU's angle is in float32",
                "angle = steps[:, None] * self.theta.double().exp()",
                "angle = (steps[:, None] * self.theta.double().exp()).float()",
            ),
        ],
    ),
    *faults_of(
        "layers/mamba.py",
        ["layers/test_mamba"],
        [
            (
                "there is no skip connection",
                "read = read[..., 0] + self.skip * x",
                "read = read[..., 0]",
            ),
            (
                "the decay is in bfloat16",
                "dt.to(torch.promote_types(dt.dtype, torch.float32))",
                "dt",
            ),
        ],
    ),
    *faults_of(
        "layers/selective_gate.py",
        ["layers/test_selective_gate"],
        [
            (
                "the selective gate drops nothing",
                "self.dropout(self.widen(hidden))",
                "self.widen(hidden)",
            ),
        ],
    ),
    *faults_of(
        "layers/selective_gru.py",
        ["models/test_glint_ru"],
        [
            (
                "a prefix's first item does not exist",
                "[t >= r - m for m in range(r + 1)]",
                "[t > r - m for m in range(r + 1)]",
            ),
            (
                "the convolution meets the bias at padding",
                "dense = self.dense(x) * real",
                "dense = self.dense(x)",
            ),
            (
                "the kept state moves a step too late",
                "is_there = (t >= r)[:, None]",
                "is_there = (t > r)[:, None]",
            ),
        ],
    ),
    *faults_of(
        "layers/temporal_conv.py",
        ["layers/test_temporal_conv"],
        [
            (
                "causal padding is on the wrong side",
                "F.pad(channels_first, (left, self.reach))",
                "F.pad(channels_first, (self.reach, left))",
            ),
            (
                "taps beyond the prefix's end count",
                "for i in range(1, k - m):",
                "for i in range(1, k - max(m - 1, 0)):",
            ),
        ],
    ),
]

MODELS = [
    *faults_of(
        "models/base.py",
        ["models/test_contract", "evaluation/test_evaluation"],
        [
            ("padding changes a state", "return new.where(real.view(shape), old)", "return new"),
            ("dropout acts while judging", "            model.eval()\n", "            pass\n"),
            ("a 0 inside a row is taken", "if has_gap.any():", "if False:"),
        ],
    ),
    *faults_of(
        "models/base.py",
        ["models/test_judging"],
        [
            (
                "a judged model's parts do not return to their own modes",
                "            module.training = was_training\n",
                "            pass\n",
            ),
            (
                "a model is not told that it trains again",
                "            model.train()\n",
                "            pass\n",
            ),
            (
                "whoever judges is forgotten while others do",
                " for module, mode in modes.items() if not self.have(module)}",
                " for module, mode in modes.items()}",
            ),
        ],
    ),
    *faults_of(
        "models/baselines.py",
        ["models/test_baselines"],
        [
            (
                "the transition to the valid item is counted",
                "np.flatnonzero(next_positions < ends)",
                "np.flatnonzero(next_positions < np.minimum(ends + 1, len(items)))",
            ),
            (
                "popularity outweighs a transition",
                "shares = occurrences / (occurrences.sum() + 1)",
                "shares = occurrences * 1.0",
            ),
        ],
    ),
    *faults_of(
        "models/bert4rec.py",
        ["models/test_transformers"],
        [
            (
                "a row that is nearly full drops its oldest item",
                "lengths.eq(self.max_len)",
                "lengths.ge(self.max_len - 1)",
            ),
        ],
    ),
    *faults_of(
        "models/fpmc.py",
        ["models/test_fpmc", "models/test_contract"],
        [
            (
                "a taste is a sum, not a mean",
                "taste = tastes.cumsum(1) / counts[:, None]",
                "taste = tastes.cumsum(1)",
            ),
            (
                "padding counts as an item of the state",
                "held = {name: hold_padded(real, part, state[name]) for name, part in new.items()}",
                "held = new",
            ),
        ],
    ),
    *faults_of(
        "models/caser.py",
        ["models/test_caser", "models/test_contract"],
        [
            (
                "windows lie ahead of their position",
                "F.pad(x, (0, 0, self.window - 1, 0))",
                "F.pad(x, (0, 0, 0, self.window - 1))",
            ),
            (
                "the items' biases have no say",
                "F.pad(z, (0, 1), value=1.0)",
                "F.pad(z, (0, 1), value=0.0)",
            ),
        ],
    ),
    *faults_of(
        "models/fmlp_rec.py",
        ["models/test_fmlp_rec", "models/test_contract"],
        [
            (
                "padding is filtered like items",
                "x = x * real[..., None]",
                "x = x * 1",
            ),
            (
                "a row of odd length comes back shorter",
                "n=self.max_len, dim=1",
                "n=self.max_len // 2 * 2, dim=1",
            ),
            (
                "the filter has no residual",
                "self.filter_norm(x + self.dropout(self.filter(x)))",
                "self.filter_norm(self.dropout(self.filter(x)))",
            ),
        ],
    ),
    *faults_of(
        "models/glint_ru.py",
        ["models/test_starts_and_dropout", "models/test_glint_ru"],
        [
            (
                "GLINT-RU's attention has no residual",
                "self.dropout(self.attention_output(attended)) + x)",
                "self.dropout(self.attention_output(attended)))",
            ),
            (
                "the experts are mixed without a softmax",
                "self.mixing.softmax(0)",
                "self.mixing",
            ),
            (
                "the MLP has no residual",
                "self.norm(self.inner_dropout(r) + z)",
                "self.norm(self.inner_dropout(r))",
            ),
            (
                "the inner dropout is the outer one",
                "self.inner_dropout = nn.Dropout(inner_dropout)",
                "self.inner_dropout = nn.Dropout(dropout)",
            ),
        ],
    ),
    *faults_of(
        "models/gru4rec.py",
        ["models/test_gru4rec", "models/test_contract"],
        [
            (
                "a second layer reads the embeddings",
                "            x = layer(x)\n        return self.output(x)",
                "            last = layer(x)\n        return self.output(last)",
            ),
            (
                "padding moves the state of a GRU",
                "x = hold_padded(real, layer.cell(x, h), h)",
                "x = layer.cell(x, h)",
            ),
        ],
    ),
    *faults_of(
        "models/narm.py",
        ["models/test_narm", "models/test_contract"],
        [
            (
                "attention looks ahead within a block",
                "not_later = positions[:end] <= positions[start:end, None]",
                "not_later = positions[:end] >= 0",
            ),
            (
                "the last item asks padding too",
                "states, real[:, None])[:, 0]",
                "states, (real | True)[:, None])[:, 0]",
            ),
            (
                "long rows keep all their pairs",
                "weighted_sum = self._weighted_sum_anew",
                "pass",
            ),
            (
                "NARM drops one share everywhere",
                "self.inner_dropout = nn.Dropout(inner_dropout)",
                "self.inner_dropout = nn.Dropout(dropout)",
            ),
        ],
    ),
    *faults_of(
        "models/recblr.py",
        ["models/test_starts_and_dropout", "models/test_recblr"],
        [
            (
                "its linear maps start as PyTorch's",
                "        self.layers.apply(initialise)\n",
                "",
            ),
            (
                "an empty history is represented by its padding",
                "latest * (lengths > 0)[:, None]",
                "latest",
            ),
            (
                "the padding as a class begins at zero",
                "first_drawn = 0 if padding_class else 1",
                "first_drawn = 1",
            ),
        ],
    ),
    *faults_of(
        "models/recurrent.py",
        [
            "models/test_starts_and_dropout",
            "models/test_recblr",
            "models/test_contract",
            "layers/test_mamba",
        ],
        [
            (
                "a layer forgets its LayerNorm",
                "self.feed_forward(self.norm(recurred))",
                "self.feed_forward(recurred)",
            ),
            (
                "a layer drops nothing of its recurrence",
                "recurred = self.dropout(recurred)",
                "pass",
            ),
            (
                "the embeddings are not normalised",
                "self.norm(self.dropout(self.item_embedding(items)))",
                "self.dropout(self.item_embedding(items))",
            ),
        ],
    ),
    *faults_of(
        "models/mamba4rec.py",
        ["layers/test_mamba"],
        [("a single layer has a residual", "residual=n_layers > 1", "residual=n_layers > 0")],
    ),
    *faults_of(
        "models/smlp4rec.py",
        ["models/test_smlp4rec", "models/test_contract"],
        [
            (
                "padding is mixed like items",
                "x = self.norm(x) * real[..., None]",
                "x = self.norm(x)",
            ),
        ],
    ),
    *faults_of(
        "models/transformer.py",
        ["models/test_starts_and_dropout", "models/test_transformers", "models/test_contract"],
        [
            (
                "attention sees padding",
                'real = None if self.objective == "next-item" else items > 0',
                "real = None",
            ),
            (
                "attention has no residual",
                "self.norm(x + self.dropout(attended))",
                "self.norm(self.dropout(attended))",
            ),
            (
                "the padding has an embedding",
                "        nn.init.zeros_(self.item_embedding.weight[0])\n",
                "",
            ),
            (
                "attention's output is not dropped",
                "x + self.dropout(attended)",
                "x + attended",
            ),
        ],
    ),
    *faults_of(
        "models/sasrec.py",
        ["models/test_transformers", "models/test_contract"],
        [("SASRec looks ahead", "causal=True, dropout=dropout", "dropout=dropout")],
    ),
]

SCAN = [
    *faults_of(
        "scan/tree.py",
        ["scan/test_scan"],
        [
            (
                "the doubling stops a round too early",
                "while reach < a.shape[1]:",
                "while 2 * reach < a.shape[1]:",
            ),
        ],
    ),
    *faults_of(
        "scan/recurrence.py",
        ["scan/test_scan"],
        [
            (
                "half precision carries its state in half precision",
                "wide = torch.promote_types(b.dtype, torch.float32)",
                "wide = b.dtype",
            ),
        ],
    ),
    *faults_of(
        "scan/recurrence.py",
        ["scan/test_operators"],
        [
            (
                "the initial state's second gradient lacks a decay",
                "return g * before, g, a[:, 0] * g[:, 0]",
                "return g * before, g, g[:, 0]",
            ),
            (
                "a gradient flows on by its own decay, not the next one's",
                "following = torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], dim=1)",
                "following = a",
            ),
        ],
    ),
    *faults_of(
        "scan/numba_scan.py",
        ["scan/test_scan"],
        [
            (
                "the first gradient of a decay ignores the initial state",
                "if t > 0 else h0[row, first:last]",
                "if t > 0 else g_next",
            ),
            (
                "the last channels are left out",
                "cuts.append(n_channels)",
                "cuts.append(max(n_channels - 1, 0))",
            ),
        ],
    ),
    *faults_of(
        "scan/numba_scan.py",
        ["scan/test_put_off_minus"],
        [("a minus sign that was put off is lost", ".resolve_neg()", "")],
    ),
    *faults_of(
        "scan/bd_lru.py",
        ["layers/test_bd_lru"],
        [
            (
                "the input is scaled by 1 - alpha^2, without its root",
                "squared.clamp_min(smallest).sqrt()",
                "squared.clamp_min(smallest)",
            ),
            (
                "a gate that underflows has an infinite slope",
                "squared.clamp_min(smallest).sqrt()",
                "squared.sqrt()",
            ),
        ],
    ),
    *faults_of(
        "scan/numba_bd_lru.py",
        ["layers/test_bd_lru"],
        [
            (
                "the fused walk scales the input by sqrt(1 - alpha)",
                "beta = np.sqrt(-minus_one * (ONE + alpha))  # sqrt((1 - alpha) (1 + alpha))",
                "beta = np.sqrt(-minus_one)",
            ),
        ],
    ),
    *faults_of(
        "scan/chunking.py",
        ["scan/test_chunking"],
        [
            (
                "chunks may be shorter than the fewest positions",
                "while n_chunks * FEWEST <= N:",
                "while n_chunks <= N:",
            ),
            (
                "what `chunking` has set stays in force",
                "_Current.launch_seconds, _Current.table = before",
                "pass",
            ),
        ],
    ),
]

TRAINING = [
    *faults_of(
        "training/trainer.py",
        ["training/test_best_epoch", "training/test_training", "training/test_checkpoint"],
        [
            (
                "of two epochs alike the later one is the best",
                "valid.ndcg > self.history.best_ndcg",
                "valid.ndcg >= self.history.best_ndcg",
            ),
            (
                "the best weights are trained on",
                "value.detach().cpu().clone()",
                "value.detach().cpu()",
            ),
            (
                "patience is an epoch too long",
                "epochs_since_best >= patience",
                "epochs_since_best > patience",
            ),
            (
                "the cosine is a step ahead",
                "self.progress.step / steps_per_epoch",
                "(self.progress.step + 1) / steps_per_epoch",
            ),
            (
                "a resumed run draws other random numbers",
                'self.random.state = state["random"]',
                "pass",
            ),
            (
                "a resumed run has a fresh optimizer",
                'self.step.load_optimizer(state["optimizer"])',
                "pass",
            ),
            (
                "the loss is a mean over batches",
                "loss * n_targets[i]\n            self.progress.n_targets += n_targets[i]",
                "loss\n            self.progress.n_targets += 1",
            ),
            ("training has no dropout", "        self.model.train()\n", ""),
        ],
    ),
    *faults_of(
        "training/progress.py",
        ["training/test_identity", "training/test_checkpoint"],
        [
            (
                "only what the file knows is compared",
                "sorted({*stored, *wanted}, key=str)",
                "sorted({*stored}, key=str)",
            ),
            ("a run may go on with another seed", '{"patience"}', '{"patience", "seed"}'),
        ],
    ),
    *faults_of(
        "training/step.py",
        ["training/test_step"],
        [
            (
                "gradients add up over steps",
                "        self.optimizer.zero_grad(set_to_none=True)\n",
                "",
            ),
            ("a loss keeps its graph", "return loss.detach()", "return loss"),
            (
                "a model's word on the padding's class is not passed on",
                "padding_class=self.model.padding_class,",
                "",
            ),
            (
                "the learning rate of a checkpoint is lost",
                "        self.set_learning_rate(stored_rate)\n",
                "",
            ),
        ],
    ),
    *faults_of(
        "training/fit.py",
        ["training/test_training"],
        [
            (
                "the objective prefix is taken by every model",
                'if model.objective == "next-item":',
                "if True:",
            ),
        ],
    ),
    *faults_of(
        "training/settings.py",
        ["training/test_training"],
        [("a negative seed is taken", " or not 0 <= self.seed <= HIGHEST_SEED:", ":")],
    ),
]

EVALUATION = [
    *faults_of(
        "evaluation/evaluate.py",
        ["evaluation/test_evaluation"],
        [
            (
                "a target that was seen is no candidate",
                "    is_seen.scatter_(1, answers[:, None], False)\n",
                "",
            ),
            (
                "ranks stand in the order of the batches",
                "all_ranks = torch.cat(ranks).cpu()[order]",
                "all_ranks = torch.cat(ranks).cpu()",
            ),
            (
                "a model of another split is judged",
                'if trained_on.split not in ("", split.fingerprint):',
                "if False:",
            ),
            (
                "the oldest item seen is a candidate",
                "starts = targets.starts[rows]",
                "starts = targets.starts[rows] + 1",
            ),
        ],
    ),
    *faults_of(
        "evaluation/negatives.py",
        ["evaluation/test_negatives"],
        [
            (
                "a user's first item is never drawn",
                "flat_ranges(targets.starts + 1, targets.positions - targets.starts)",
                "flat_ranges(targets.starts, targets.positions - targets.starts + 1)",
            ),
            (
                "the target may be drawn",
                "flat_ranges(targets.starts + 1, targets.positions - targets.starts)",
                "flat_ranges(targets.starts + 1, targets.positions - targets.starts - 1)",
            ),
            (
                "both phases draw alike",
                "_hash_uniform(seed, phase, targets",
                "_hash_uniform(seed, 0, targets",
            ),
            (
                "a draw depends on who else is judged",
                "targets.users[rows], columns, attempt",
                "rows, columns, attempt",
            ),
            (
                "popularity counts train only",
                "data.item_counts()[1:]",
                "split.train_counts()[1:]",
            ),
            (
                "a repeat counts twice",
                "candidates[:, 1:][is_repeat] = 0",
                "pass",
            ),
            ("an item's last ticket is the next one's", 'side="right"', 'side="left"'),
            (
                "every seed draws alike",
                "key = (which, protocol, seed)",
                "key = (which, protocol, 0)",
            ),
        ],
    ),
    *faults_of(
        "evaluation/expected.py",
        ["data/test_planted"],
        [
            (
                "a tie is won in expectation",
                "return smallest + (largest - smallest + 1) // 2",
                "return smallest",
            ),
        ],
    ),
    *faults_of(
        "evaluation/comparison.py",
        ["evaluation/test_comparison"],
        [
            (
                "other users are paired",
                " or not np.array_equal(a.users, b.users):",
                ":",
            ),
            ("the interval is one of 90%", "[0.025, 0.975]", "[0.05, 0.95]"),
            ("other negatives are paired", "seed = {evaluation.seed}, ", ""),
        ],
    ),
]

RECORDS = faults_of(
    "experiments/records.py",
    ["experiments/test_records"],
    [
        (
            "a record is replaced",
            "    if not replace:\n",
            "    if False:\n",
        ),
        ("a path through .. is kept", "if not (absolute or goes_up):", "if not absolute:"),
    ],
)

COMMAND_LINE = faults_of(
    "cli/output_files.py",
    ["cli/test_what_is_held_out", "cli/test_command_line", "cli/test_output_files"],
    [
        (
            "a file that nobody typed replaces the model of other data",
            "    if given_out is None:\n",
            "    if False:\n",
        ),
        (
            "a link to a file is another file",
            "return one.exists() and other.exists() and one.samefile(other)",
            "return False",
        ),
        ("folders are not tried", "            check_writable(path)\n", "            pass\n"),
        (
            "what was rescued before is replaced",
            "        if not path.exists():\n            return path\n",
            "        return path\n",
        ),
    ],
)

COMMAND_LINE += faults_of(
    "cli/output_files.py",
    ["cli/test_the_same_command_again"],
    [
        (
            "an interrupted run's record stays",
            "    if not is_finished(found):\n",
            "    if False:\n",
        ),
        (
            "another command's record is replaced",
            "    if not of_this_command:\n",
            "    if False:\n",
        ),
        (
            "a finished run's model may be another",
            'if _sha256_of(out) != record.get("saved_sha256"):',
            "if False:",
        ),
        (
            "fewer epochs replace more, after a second Ctrl-C",
            "len(history.epochs) < self.epochs_there",
            "False",
        ),
    ],
)

MUTANTS = [
    *METRICS,
    *LOSSES,
    *STORAGE,
    *SERVING,
    *INTERACTIONS,
    *SPLITS,
    *BATCHING,
    *WIDTHS,
    *PLANTED,
    *TIMES,
    *RAW_IDS,
    *FRAMES,
    *READERS,
    *LAYERS,
    *MODELS,
    *SCAN,
    *TRAINING,
    *EVALUATION,
    *RECORDS,
    *COMMAND_LINE,
]
