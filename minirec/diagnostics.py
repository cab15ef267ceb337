"""Diagnostic tasks: small and generated, each decided by one piece of a model (notebooks 02 to 09).

A row is a short history, and there is one question about it. With the piece a model answers nearly
always; without it, hardly more often than the task's chance level says. A few seconds of training
show which.

n : rows
N : positions
d : model width
V : values, the numbers of the films of one genre
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WAYS = torch.tensor([-1, 1])  # along a ring of films: backwards and forwards
QUESTIONS = ("last", "recall")


@dataclass(frozen=True)
class Diagnostic:
    """Histories with one question about each, and what can be reached at least and at most.

    Attributes
    ----------
    question : str
        What is asked, in one plain sentence.
    items : Tensor
        The histories, int64[n, N], ids 1 .. n_items. All rows are full: there is no padding.
    answers : Tensor
        int64[n], classes 0 .. n_answers - 1.
    item_names : tuple of str
        What an item means, n_items names, the first one that of item 1.
    answer_names : tuple of str
        What a class means, n_answers names.
    without : str
        What a model without the piece does not know.
    chance : float
        The best accuracy that is possible without it, in expectation over these rows.
    ceiling : float
        The best accuracy that is possible at all.
    """

    question: str
    items: Tensor
    answers: Tensor
    item_names: tuple[str, ...]
    answer_names: tuple[str, ...]
    without: str
    chance: float
    ceiling: float = 1.0  # in all of these tasks the history decides the answer

    @property
    def n_items(self) -> int:
        """Number of different items."""
        return len(self.item_names)

    @property
    def n_answers(self) -> int:
        """Number of different answers."""
        return len(self.answer_names)


def order_of_neighbours(n: int, *, seed: int, n_films: int = 12, length: int = 6) -> Diagnostic:
    """Ask where a walk goes on, which only the order of the last two films tells (notebook 03).

    The films stand in a ring. A history ends in a step from one film to a neighbour, forwards or
    backwards, and the next film goes on the same way. The films before that step are drawn at
    random.

    Chance is one half: whoever knows the last film, or the last two without their order, cannot
    tell the two ways apart.

    Parameters
    ----------
    n : int
        Number of rows.
    seed : int
        Of the draws; take one for training and another for testing.
    n_films : int
        Films in the ring, at least 4. In a ring of three both ways lead to the same film.
    length : int
        Films in a history, N; at least 2.

    Returns
    -------
    Diagnostic
        items [n, length]; an answer is a film of the ring.

    Raises
    ------
    ValueError
        If n_films or length is too small.
    """
    _at_least("n_films", n_films, 4)
    _at_least("length", length, 2)
    generator = torch.Generator().manual_seed(seed)
    earlier = torch.randint(n_films, (n, length - 2), generator=generator)
    before = torch.randint(n_films, (n, 1), generator=generator)
    way = WAYS[torch.randint(len(WAYS), (n, 1), generator=generator)]
    last = (before + way) % n_films
    following = (last + way) % n_films

    films = torch.cat([earlier, before, last], dim=1)
    names = _numbers(n_films)
    return Diagnostic(
        question="The last step went to a neighbour in the ring. Which film comes next?",
        items=films + 1,
        answers=following[:, 0],
        item_names=names,
        answer_names=names,
        without="the order of the last two films",
        chance=1 / len(WAYS),
    )


def marked_item(
    n: int, *, seed: int, n_films: int = 8, length: int = 20, gap: int = 8
) -> Diagnostic:
    """Ask for the film that came after a mark, many films ago (notebook 02).

    A mark stands at a random place, and all other films are drawn at random. To answer, a model
    must notice the film behind the mark and hold it, and let the films after it pass by.

    Chance is that of whoever knows how often each film came, and not where the mark stood: the
    most frequent film is the best answer.

    Parameters
    ----------
    n : int
        Number of rows.
    seed : int
        Of the draws; take one for training and another for testing.
    n_films : int
        Different films, at least 2. The mark is one more item, the last one.
    length : int
        Positions, N, the mark's included.
    gap : int
        Films that come after the marked one, at least.

    Returns
    -------
    Diagnostic
        items [n, length]; an answer is a film.

    Raises
    ------
    ValueError
        If n_films is below 2, gap below 0, or length has no room for mark, film and gap.
    """
    _at_least("n_films", n_films, 2)
    _at_least("gap", gap, 0)
    _at_least("length", length, gap + 2)
    generator = torch.Generator().manual_seed(seed)
    films = torch.randint(n_films, (n, length - 1), generator=generator)
    place = torch.randint(length - gap - 1, (n,), generator=generator)  # of the marked film

    answers = films.gather(1, place[:, None])[:, 0]
    items = _insert(films + 1, place, torch.full((n,), n_films + 1))
    names = _numbers(n_films)
    return Diagnostic(
        question="Which film came right after the mark?",
        items=items,
        answers=answers,
        item_names=(*names, "MARK"),
        answer_names=names,
        without="where the mark stood",
        chance=_share_of_most_frequent(films, n_films),
    )


def first_item(n: int, *, seed: int, n_films: int = 8, length: int = 20) -> Diagnostic:
    """Ask for the first film of the history, however long ago: long memory (notebook 02).

    Chance is that of whoever knows how often each film came, and not which was the first.

    Parameters
    ----------
    n : int
        Number of rows.
    seed : int
        Of the draws; take one for training and another for testing.
    n_films : int
        Different films, at least 2.
    length : int
        Films in a history, N; at least 1.

    Returns
    -------
    Diagnostic
        items [n, length]; an answer is a film.

    Raises
    ------
    ValueError
        If n_films or length is too small.
    """
    _at_least("n_films", n_films, 2)
    _at_least("length", length, 1)
    generator = torch.Generator().manual_seed(seed)
    films = torch.randint(n_films, (n, length), generator=generator)
    names = _numbers(n_films)
    return Diagnostic(
        question="Which film came first?",
        items=films + 1,
        answers=films[:, 0],
        item_names=names,
        answer_names=names,
        without="the order of the films",
        chance=_share_of_most_frequent(films, n_films),
    )


def marked_noise(n: int, *, seed: int, n_genres: int = 4, n_values: int = 8) -> Diagnostic:
    """Ask for the one film that counts, the others being noise: the selective gate (notebook 04).

    Several people share an account, and each watches a genre of their own. A history holds one
    film of each genre, in random order. The last item is the sign of a genre: this person is
    watching now, and the films of the others are noise. Which film of this genre was it?

    A state that adds up the films knows every film. What of it to read depends on the last item,
    so state and last item have to be multiplied. Chance is that of whoever adds them instead: the
    number that most of the films have is the best answer.

    Parameters
    ----------
    n : int
        Number of rows.
    seed : int
        Of the draws; take one for training and another for testing.
    n_genres : int
        Genres, which is films in a history; at least 2.
    n_values : int
        Films of each genre, V; at least 2.

    Returns
    -------
    Diagnostic
        items [n, n_genres + 1]; an answer is a film's number within its genre.

    Raises
    ------
    ValueError
        If n_genres or n_values is too small.
    """
    _at_least("n_genres", n_genres, 2)
    _at_least("n_values", n_values, 2)
    generator = torch.Generator().manual_seed(seed)
    genres, values = _a_film_each(n, n_genres, n_genres, n_values, generator)
    asked = torch.randint(n_genres, (n, 1), generator=generator)  # position of the film
    return Diagnostic(
        question="The last item names a genre; the films of other genres are noise. Which number "
        "had the film of this genre?",
        items=_with_sign(genres, values, n_genres, n_values, asked),
        answers=values.gather(1, asked)[:, 0],
        item_names=_films_and_signs(n_genres, n_values),
        answer_names=_numbers(n_values),
        without="which of the films is asked for",
        chance=_share_of_most_frequent(values, n_values),
    )


def recall(
    n: int, *, seed: int, n_genres: int = 12, n_values: int = 8, length: int = 10
) -> Diagnostic:
    """Ask for the value that came with a key, many positions ago: recall (notebook 05).

    Known as associative recall. A film is a pair: its genre is the key, its number the value. A
    history holds `length` films of different genres, and then the sign of a genre that came in
    the first half. Which number had the film of this genre?

    Chance is that of a window over the second half: the numbers there say nothing, and all
    answers are equally likely.

    Parameters
    ----------
    n : int
        Number of rows.
    seed : int
        Of the draws; take one for training and another for testing.
    n_genres : int
        Genres, the keys.
    n_values : int
        Films of each genre, V; at least 2.
    length : int
        Films in a history, between 2 and n_genres.

    Returns
    -------
    Diagnostic
        items [n, length + 1]; an answer is a film's number within its genre.

    Raises
    ------
    ValueError
        If length or n_values is below 2, or there are fewer genres than films.
    """
    _check_recall(n_genres, n_values, length)
    generator = torch.Generator().manual_seed(seed)
    genres, values = _a_film_each(n, length, n_genres, n_values, generator)
    asked = torch.randint(length // 2, (n, 1), generator=generator)  # in the first half
    return Diagnostic(
        question="Which number had the film of the genre that the last item names?",
        items=_with_sign(genres, values, n_genres, n_values, asked),
        answers=values.gather(1, asked)[:, 0],
        item_names=_films_and_signs(n_genres, n_values),
        answer_names=_numbers(n_values),
        without="the first half of the films",
        chance=1 / n_values,
    )


def two_questions(
    n: int,
    *,
    seed: int,
    ask: Sequence[str] = QUESTIONS,
    n_genres: int = 12,
    n_values: int = 8,
    length: int = 10,
) -> Diagnostic:
    """Ask one row for its last film and another for one long ago: two experts (notebook 06).

    Histories are those of `recall`. Some end in the sign of a genre, as there; others in the sign
    "LAST?", and asked is the number of the film just before it. Attention without positions does
    not know which film was the last. A small recurrent state has lost the films long ago.

    Chance is that of whoever can answer one of the two questions perfectly, and knows for the
    other only what is left: the most frequent number for "last", nothing for "recall". The better
    of the two counts.

    Parameters
    ----------
    n : int
        Number of rows.
    seed : int
        Of the draws; take one for training and another for testing.
    ask : sequence of {"last", "recall"}
        Which questions there are; each is asked in about as many rows. With one of the two only,
        chance is that of the expert which cannot answer it.
    n_genres, n_values, length : int
        As in `recall`.

    Returns
    -------
    Diagnostic
        items [n, length + 1]; an answer is a film's number within its genre.

    Raises
    ------
    ValueError
        If ask is empty or names another question, or a size is impossible.
    """
    if not ask or set(ask) - set(QUESTIONS):
        raise ValueError(f"ask must be some of {', '.join(QUESTIONS)}; got {tuple(ask)!r}.")
    _check_recall(n_genres, n_values, length)
    generator = torch.Generator().manual_seed(seed)
    genres, values = _a_film_each(n, length, n_genres, n_values, generator)
    asked = torch.randint(length // 2, (n, 1), generator=generator)
    is_last = torch.rand(n, 1, generator=generator) < 0.5
    if len(set(ask)) == 1:
        is_last = torch.full((n, 1), "last" in ask)
    asked = torch.where(is_last, length - 1, asked)

    names = _films_and_signs(n_genres, n_values)
    items = _with_sign(genres, values, n_genres, n_values, asked)
    last_sign = len(names) + 1
    items[:, -1:] = torch.where(is_last, last_sign, items[:, -1:])

    return Diagnostic(
        question="Which number had the film that the last item asks for, by genre or as the last?",
        items=items,
        answers=values.gather(1, asked)[:, 0],
        item_names=(*names, "LAST?"),
        answer_names=_numbers(n_values),
        without="either the order of the films or those long ago",
        chance=_chance_of_one_expert(ask, is_last.double().mean().item(), values, n_values),
    )


def selective_copying(
    n: int,
    *,
    seed: int,
    n_films: int = 8,
    n_kept: int = 4,
    n_noise: int = 16,
    back: int = 2,
) -> Diagnostic:
    """Ask for the last film but one among noise: selective copying (notebooks 09 and 13).

    A few films stand at random places among many items of noise. A recurrence whose decay is the
    same for every item knows how many positions ago a film came, and not how many films ago. One
    whose decay depends on the item can stand still while noise goes by.

    Chance is that of whoever knows which films came, and not their order.

    Parameters
    ----------
    n : int
        Number of rows.
    seed : int
        Of the draws; take one for training and another for testing.
    n_films : int
        Different films, at least 2. Noise is one more item, the last one.
    n_kept : int
        Films in a history.
    n_noise : int
        Items of noise in a history.
    back : int
        Which film is asked for: 1 the last, 2 the one before it, up to n_kept.

    Returns
    -------
    Diagnostic
        items [n, n_kept + n_noise]; an answer is a film.

    Raises
    ------
    ValueError
        If a size is too small, or back is not between 1 and n_kept.
    """
    _at_least("n_films", n_films, 2)
    _at_least("n_noise", n_noise, 0)
    if not 1 <= back <= n_kept:
        raise ValueError(f"back must be between 1 and n_kept = {n_kept}; got {back}.")
    generator = torch.Generator().manual_seed(seed)
    films = torch.randint(n_films, (n, n_kept), generator=generator)
    length = n_kept + n_noise
    shuffled = torch.rand(n, length, generator=generator).argsort(1)
    places = shuffled[:, :n_kept].sort(1).values

    items = torch.full((n, length), n_films + 1).scatter(1, places, films + 1)
    names = _numbers(n_films)
    return Diagnostic(
        question=f"Without the noise, which film is number {back} from the end?",
        items=items,
        answers=films[:, n_kept - back],
        item_names=(*names, "noise"),
        answer_names=names,
        without="the order of the films",
        chance=_share_of_most_frequent(films, n_films),
    )


def film_long_ago(n: int, *, seed: int, n_films: int = 8, n_noise: int = 59) -> Diagnostic:
    """Ask for the only film, which came before all the noise: long memory (notebook 09).

    A film comes first, and nothing but noise after it. There is nothing to select: whatever a
    state has kept of its first input gives the answer. A recurrence whose decay is well below 1
    has kept nothing.

    Chance is that of whoever sees the noise only: all films are equally likely.

    Parameters
    ----------
    n : int
        Number of rows.
    seed : int
        Of the draws; take one for training and another for testing.
    n_films : int
        Different films, at least 2. Noise is one more item, the last one.
    n_noise : int
        Items of noise behind the film, at least 1.

    Returns
    -------
    Diagnostic
        items [n, n_noise + 1]; an answer is a film.

    Raises
    ------
    ValueError
        If n_films or n_noise is too small.
    """
    _at_least("n_films", n_films, 2)
    _at_least("n_noise", n_noise, 1)
    generator = torch.Generator().manual_seed(seed)
    films = torch.randint(n_films, (n, 1), generator=generator)
    noise = torch.full((n, n_noise), n_films)
    names = _numbers(n_films)
    return Diagnostic(
        question="Which film came, before all the noise?",
        items=torch.cat([films, noise], dim=1) + 1,
        answers=films[:, 0],
        item_names=(*names, "noise"),
        answer_names=names,
        without="the first position",
        chance=1 / n_films,
    )


def show(task: Diagnostic, n_rows: int = 3) -> None:
    """Print the question, a few rows with their answers, and what can be reached."""
    print(task.question)
    for items, answer in zip(task.items[:n_rows].tolist(), task.answers.tolist(), strict=False):
        history = "  ".join(task.item_names[item - 1] for item in items)
        print(f"    {history}  ->  {task.answer_names[answer]}")
    print(f"without {task.without}: {task.chance:.3f} at best; with it: {task.ceiling:.3f}")


class LastPosition(nn.Module):
    """The shell around a layer: embeddings before it, a linear map behind its last position.

    Parameters
    ----------
    task : Diagnostic
        For the numbers of items and answers.
    make_layer : callable
        make_layer(d_model) returns a module that turns [B, N, d] into [B, N, d].
    d_model : int
        d.
    """

    def __init__(self, task: Diagnostic, make_layer: Callable[[int], nn.Module], d_model: int):
        super().__init__()
        self.embedding = nn.Embedding(task.n_items + 1, d_model, padding_idx=0)
        self.layer = make_layer(d_model)
        self.output = nn.Linear(d_model, task.n_answers)

    def forward(self, items: Tensor) -> Tensor:
        """Score the answers, int64[B, N] -> [B, n_answers]."""
        y = self.layer(self.embedding(items))
        return self.output(y[:, -1])


def trained(
    make_layer: Callable[[int], nn.Module],
    task: Diagnostic,
    *,
    d_model: int = 32,
    steps: int = 300,
    batch_size: int = 128,
    lr: float = 1e-2,
    seed: int = 0,
) -> LastPosition:
    """Train a layer in its shell on a task, by Adam, and return both.

    Parameters
    ----------
    make_layer : callable
        make_layer(d_model) returns a new layer, [B, N, d] -> [B, N, d]. A class will do, such as
        LinearAttention, or a function that chooses more options.
    task : Diagnostic
        What to learn.
    d_model : int
        Width of embeddings and layer.
    steps : int
        Batches.
    batch_size : int
        Rows in a batch, drawn with replacement.
    lr : float
        Adam's learning rate.
    seed : int
        Of the starting weights and the batches. The caller's random numbers stay as they were.

    Returns
    -------
    LastPosition
        The trained model, in eval mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LastPosition(task, make_layer, d_model)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        for _ in range(steps):
            rows = torch.randint(len(task.items), (batch_size,))
            loss = F.cross_entropy(model(task.items[rows]), task.answers[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, task: Diagnostic) -> float:
    """Return the share of rows whose highest score is the right answer's."""
    found = model(task.items).argmax(1)
    return (found == task.answers).double().mean().item()


def learn(
    make_layer: Callable[[int], nn.Module],
    train: Diagnostic,
    test: Diagnostic,
    **training: Any,
) -> float:
    """Train a layer on one draw of a task and return its accuracy on another.

    Parameters
    ----------
    make_layer : callable
        As in `trained`.
    train, test : Diagnostic
        The same task, drawn with two seeds.
    **training : any
        Options of `trained`: d_model, steps, batch_size, lr, seed.

    Returns
    -------
    float
        The accuracy on `test`.
    """
    return accuracy(trained(make_layer, train, **training), test)


def _at_least(name: str, value: int, smallest: int) -> None:
    if value < smallest:
        raise ValueError(f"{name} must be at least {smallest}; got {value}.")


def _check_recall(n_genres: int, n_values: int, length: int) -> None:
    _at_least("n_values", n_values, 2)
    _at_least("length", length, 2)
    if n_genres < length:
        raise ValueError(
            "a history holds films of different genres, so length must be at most n_genres = "
            f"{n_genres}; got {length}."
        )


def _numbers(n: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(n))


def _films_and_signs(n_genres: int, n_values: int) -> tuple[str, ...]:
    """Name the films of all genres, "A-0" to "A-7", "B-0" and so on, and then the signs, "A?"."""
    genres = [_letters(genre) for genre in range(n_genres)]
    films = [f"{genre}-{value}" for genre in genres for value in range(n_values)]
    signs = [f"{genre}?" for genre in genres]
    return (*films, *signs)


def _letters(number: int) -> str:
    """Return "A" to "Z", and then "A1" to "Z1", "A2" and so on."""
    round_number, letter = divmod(number, 26)
    name = chr(ord("A") + letter)
    return f"{name}{round_number}" if round_number else name


def _a_film_each(
    n: int, length: int, n_genres: int, n_values: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw histories of films, no two of one genre: their genres and numbers, [n, length] each."""
    shuffled = torch.rand(n, n_genres, generator=generator).argsort(1)
    values = torch.randint(n_values, (n, length), generator=generator)
    return shuffled[:, :length], values


def _with_sign(
    genres: Tensor, values: Tensor, n_genres: int, n_values: int, asked: Tensor
) -> Tensor:
    """Make items of films and put the sign of one film's genre behind them.

    genres, values: [n, N]; asked: the position of the film, [n, 1]. Returns [n, N + 1].
    """
    films = genres * n_values + values + 1
    signs = n_genres * n_values + genres.gather(1, asked) + 1
    return torch.cat([films, signs], dim=1)


def _insert(items: Tensor, place: Tensor, new: Tensor) -> Tensor:
    """Put new [n] in front of position place [n] of each row, [n, N] -> [n, N + 1]."""
    n_before = items.shape[1]
    positions = torch.arange(n_before + 1)
    shifted = positions - (positions > place[:, None]).long()
    source = shifted.clamp_max(n_before - 1)
    return torch.where(positions == place[:, None], new[:, None], items.gather(1, source))


def _chance_of_one_expert(
    ask: Sequence[str], share_of_last: float, values: Tensor, n_values: int
) -> float:
    """Return the best accuracy of whoever can answer one of the questions of `two_questions`.

    share_of_last: how many of the rows ask for the last film; values: [n, N], the films' numbers.
    """
    order_blind = share_of_last * _share_of_most_frequent(values, n_values) + (1 - share_of_last)
    forgetful = share_of_last + (1 - share_of_last) / n_values
    if "recall" not in ask:
        return order_blind
    if "last" not in ask:
        return forgetful
    return max(order_blind, forgetful)


def _share_of_most_frequent(values: Tensor, n_values: int) -> float:
    """Return how often the most frequent value of a row stands in it, as a share, over all rows.

    values: [n, N]. Where any position may be the one that is asked for, it is the best accuracy
    of whoever knows the values and not their order.
    """
    counts = F.one_hot(values, n_values).sum(1)  # [n, n_values]
    share = counts.max(1).values / values.shape[1]
    return share.double().mean().item()
