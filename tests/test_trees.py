"""Nested arguments and results keep their containers, their order, and whatever else they hold."""

import collections

import pytest
import torch

from intervaltorch._trees import filled, leaves, map_kind, map_result, zip_results

Pair = collections.namedtuple("Pair", "first second")
SORTED = torch.sort(torch.tensor([2.0, 1.0]))


def same(x, y):
    assert type(x) is type(y)
    if isinstance(x, tuple | list):
        assert len(x) == len(y) and all(same(a, b) for a, b in zip(x, y, strict=True))
    elif isinstance(x, dict):
        assert list(x) == list(y) and all(same(x[key], y[key]) for key in x)
    else:
        assert x is y if isinstance(x, torch.Tensor) else x == y
    return True


@pytest.mark.parametrize("tree", [1, "x", [], (), {}, (1, [2.5, {"a": (3, "x"), "b": []}]), [None, (True,)]], ids=str)
def test_arguments_are_changed_in_place_of_what_they_were(tree):
    seen = []
    same(map_kind(float, lambda x: seen.append(x) or x, tree), tree)
    assert seen == [leaf for leaf in leaves(tree) if isinstance(leaf, float)]
    assert list(leaves(map_kind((int, float, str, type(None)), lambda x: 7, tree))) == [7] * len(list(leaves(tree)))


@pytest.mark.parametrize("leaf", [Pair(1, 2), torch.Size([1, 2]), collections.OrderedDict(a=1)], ids=str)
def test_arguments_in_other_containers_stay(leaf):
    assert map_kind(int, lambda x: x + 1, [leaf])[0] is leaf


@pytest.mark.parametrize("result", [1, (1, 2), [1, (2, 3)], Pair(1, [2]), torch.Size([1, 2]), (SORTED, 1)], ids=str)
def test_results_keep_their_class(result):
    same(map_result(lambda x: x, result), result)
    same(zip_results(lambda x, y: y, result, result), result)
    if isinstance(result, tuple | list):
        same(filled(result, list(result)), result)


def test_results_of_two_structures_do_not_combine():
    with pytest.raises(ValueError):
        zip_results(lambda x, y: x, (1, 2), (1,))
