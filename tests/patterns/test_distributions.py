"""Programs written with `torch.distributions`: boxes as parameters and as values, with torch's validation on."""

import functools

import pytest
import torch
import torch.distributions as D

from intervaltorch import DomainError, IntervalTensor, UndecidedError, UnsupportedOpError, bound, rounding
from intervaltorch.testing import assert_encloses, sample_points
from tests.patterns.check import boxes_of, check, refuses


@pytest.fixture(autouse=True)
def _validated():
    """Arguments are validated, as by default; `torch._dynamo` switches that off where a test has imported it."""
    before = D.Distribution._validate_args
    D.Distribution.set_default_validate_args(True)
    yield
    D.Distribution.set_default_validate_args(before)


ONES, ZEROS = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
EYE = torch.eye(3, dtype=torch.float64)
LABELS = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
COUNTS = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)


def logistic(loc, scale):
    return D.TransformedDistribution(
        D.Uniform(ZEROS, ONES), [D.SigmoidTransform().inv, D.AffineTransform(loc, scale)], validate_args=True
    )


def normals(loc, scale):
    return D.Independent(D.Normal(loc, scale), 1)


def mixture(p, scale):
    return D.MixtureSameFamily(D.Categorical(p), D.Normal(torch.arange(3).double(), scale))


# Two parameters in [0.6, 0.8] and [1.2, 1.5], and a value in [0.3, 0.4]: of each family the distribution, its value.
FAMILIES = {
    "Normal": (lambda a, b: D.Normal(a, b), lambda v: v),
    "Laplace": (lambda a, b: D.Laplace(a, b), lambda v: v),
    "Cauchy": (lambda a, b: D.Cauchy(a, b), lambda v: v),
    "Bernoulli of probs": (lambda a, b: D.Bernoulli(a), lambda v: LABELS),
    "Bernoulli of logits": (lambda a, b: D.Bernoulli(logits=b), lambda v: LABELS),
    "Categorical of probs": (lambda a, b: D.Categorical(a), lambda v: torch.tensor(1)),
    "Categorical of logits": (lambda a, b: D.Categorical(logits=b), lambda v: torch.tensor(1)),
    "Categorical of a softmax": (lambda a, b: D.Categorical(a.softmax(-1)), lambda v: torch.tensor(1)),
    "OneHotCategorical": (lambda a, b: D.OneHotCategorical(a), lambda v: EYE[1]),
    "Multinomial": (lambda a, b: D.Multinomial(4, a), lambda v: COUNTS),
    "Uniform": (lambda a, b: D.Uniform(a - 1, b), lambda v: v),
    "Exponential": (lambda a, b: D.Exponential(a), lambda v: v),
    "Gamma": (lambda a, b: D.Gamma(a, b), lambda v: v),
    "InverseGamma": (lambda a, b: D.InverseGamma(a + 3, b), lambda v: v),
    "Chi2": (lambda a, b: D.Chi2(a + 1), lambda v: v),
    "Beta": (lambda a, b: D.Beta(a, b), lambda v: v),
    "Dirichlet": (lambda a, b: D.Dirichlet(a), lambda v: v.softmax(-1)),
    "StudentT": (lambda a, b: D.StudentT(a + 3, a, b), lambda v: v),
    "FisherSnedecor": (lambda a, b: D.FisherSnedecor(a + 5, b + 5), lambda v: v),
    "LogNormal": (lambda a, b: D.LogNormal(a, b), lambda v: v),
    "HalfNormal": (lambda a, b: D.HalfNormal(a), lambda v: v),
    "HalfCauchy": (lambda a, b: D.HalfCauchy(a), lambda v: v),
    "Gumbel": (lambda a, b: D.Gumbel(a, b), lambda v: v),
    "Logistic": (logistic, lambda v: v),
    "Poisson": (lambda a, b: D.Poisson(a), lambda v: COUNTS),
    "Geometric": (lambda a, b: D.Geometric(a), lambda v: COUNTS),
    "Binomial": (lambda a, b: D.Binomial(4, a), lambda v: COUNTS),
    "NegativeBinomial": (lambda a, b: D.NegativeBinomial(4, a), lambda v: COUNTS),
    "Weibull": (lambda a, b: D.Weibull(a, b), lambda v: v),
    "Pareto": (lambda a, b: D.Pareto(a, b + 2), lambda v: v + 1),
    "Kumaraswamy": (lambda a, b: D.Kumaraswamy(a, b), lambda v: v),
    "ContinuousBernoulli": (lambda a, b: D.ContinuousBernoulli(a), lambda v: v),
    "RelaxedBernoulli": (lambda a, b: D.RelaxedBernoulli(ONES[0], a), lambda v: v),
    "RelaxedOneHotCategorical": (lambda a, b: D.RelaxedOneHotCategorical(ONES[0], a), lambda v: v.softmax(-1)),
    "VonMises": (lambda a, b: D.VonMises(a, ONES), lambda v: v),
    "MultivariateNormal": (lambda a, b: D.MultivariateNormal(a, scale_tril=EYE), lambda v: v),
    "MultivariateNormal of a factor": (lambda a, b: D.MultivariateNormal(a, scale_tril=b.diag_embed()), lambda v: v),
    "LowRankMultivariateNormal": (
        lambda a, b: D.LowRankMultivariateNormal(a, ONES.reshape(3, 1), b), lambda v: v
    ),
    "Independent": (normals, lambda v: v),
    "MixtureSameFamily": (mixture, lambda v: v),
}  # fmt: skip

METHODS = {
    "log_prob": lambda d, v: d.log_prob(v),
    "cdf": lambda d, v: d.cdf(v),
    "icdf": lambda d, v: d.icdf(v),
    "entropy": lambda d, v: d.entropy(),
    "rsample": lambda d, v: seeded(d.rsample),
    "mean": lambda d, v: d.mean,
    "variance": lambda d, v: d.variance,
    "stddev": lambda d, v: d.stddev,
}

# What composing torch's own steps cannot bound, so that it refuses by name: the draws of rejection samplers, and
# variances computed as a difference, whose box reaches below 0 before the root is taken.
REFUSED = {
    ("rsample", "Gamma"), ("rsample", "InverseGamma"), ("rsample", "Chi2"), ("rsample", "Beta"),
    ("rsample", "Dirichlet"), ("rsample", "StudentT"), ("rsample", "FisherSnedecor"),
    ("stddev", "ContinuousBernoulli"), ("stddev", "Kumaraswamy"),
}  # fmt: skip

# The derivative of the incomplete gamma function in its shape, which torch lacks.
WITHOUT_DERIVATIVE = {("cdf", "Gamma"), ("cdf", "InverseGamma"), ("cdf", "Chi2")}


def seeded(draw):
    torch.manual_seed(0)
    return draw()


def parameters(wide=1.0):
    low = torch.tensor([[0.6] * 3, [1.2] * 3, [0.3] * 3], dtype=torch.float64)
    return IntervalTensor(low, low + wide * torch.tensor([[0.1, 0.2, 0.05], [0.1, 0.2, 0.3], [0.1, 0.02, 0.05]]))


def cases():
    """Families with the methods that torch implements for them with numbers as answers."""
    x = parameters().lower
    for family, (make, value) in FAMILIES.items():
        for method, call in METHODS.items():
            try:
                answer = call(make(x[0], x[1]), value(x[2]))
            except (NotImplementedError, AttributeError):
                continue
            if not answer.isnan().any():
                yield pytest.param(family, method, id=f"{family}-{method}")


@pytest.mark.parametrize("family, method", list(cases()))
def test_families(family, method):
    """Boxes contain what torch gives at points, in both modes, and gradients of their bounds are finite."""
    make, value = FAMILIES[family]

    def program(x):
        return METHODS[method](make(x[0], x[1]), value(x[2]))

    if (method, family) in REFUSED:
        with pytest.raises((UnsupportedOpError, DomainError)):
            program(parameters())
        return
    Y = check(program, parameters())
    if not isinstance(Y, IntervalTensor):
        return
    ends = [end.clone().requires_grad_() for end in (parameters().lower, parameters().upper)]
    Y = program(IntervalTensor(*ends))
    if Y.lower.requires_grad and (method, family) not in WITHOUT_DERIVATIVE:
        for end in Y.lower, Y.upper:
            grads = torch.autograd.grad(end.sum(), ends, retain_graph=True, allow_unused=True)
            assert all(grad is None or grad.isfinite().all() for grad in grads)


def test_thin_boxes_give_thin_bounds():
    """Nothing in the tables is bounded by everything: a box of width 1e-9 gives a width below 1e-5."""
    for family, (make, value) in FAMILIES.items():
        X = parameters(1e-9)
        Y = make(X[0], X[1]).log_prob(value(X[2]))
        assert bool((Y.upper - Y.lower < 1e-5).all()), family


# --- divergences ------------------------------------------------------------------------------------------------------

PAIRS = {
    "Normal": lambda a, b: D.Normal(a, b),
    "HalfNormal": lambda a, b: D.HalfNormal(b),
    "LogNormal": lambda a, b: D.LogNormal(a, b),
    "Independent": normals,
    "Exponential": lambda a, b: D.Exponential(b),
    "Poisson": lambda a, b: D.Poisson(b),
    "Bernoulli of probs": lambda a, b: D.Bernoulli(b / 3),
    "Bernoulli of logits": lambda a, b: D.Bernoulli(logits=a),
    "Geometric": lambda a, b: D.Geometric(b / 3),
    "Gamma": lambda a, b: D.Gamma(b, b + 1),
    "Beta": lambda a, b: D.Beta(b, b + 1),
    "Dirichlet": lambda a, b: D.Dirichlet(b),
    "Laplace": lambda a, b: D.Laplace(a, b),
    "Gumbel": lambda a, b: D.Gumbel(a, b),
    "Uniform": lambda a, b: D.Uniform(a - 9, b + 9),
    "Categorical": lambda a, b: D.Categorical(logits=a),
    "OneHotCategorical": lambda a, b: D.OneHotCategorical(b),
    "MultivariateNormal": lambda a, b: D.MultivariateNormal(a, scale_tril=EYE),
    "Pareto": lambda a, b: D.Pareto(b, b + 2),
    "ContinuousBernoulli": lambda a, b: D.ContinuousBernoulli(b / 9),
}
HULLS = ("Normal", "HalfNormal", "LogNormal", "Exponential", "Poisson", "Bernoulli of probs", "Bernoulli of logits",
         "Geometric")  # fmt: skip


def pairs(draw=lambda *shape: torch.rand(*shape, dtype=torch.float64)):
    """Parameters of two distributions, in boxes that meet, touch, and lie apart."""
    low = 1 + 0.8 * draw(4, 3)
    return IntervalTensor(low, low + 0.5 * draw(4, 3))


@pytest.mark.parametrize("family", PAIRS)
def test_divergences(family):
    def program(x):
        return D.kl_divergence(PAIRS[family](x[0], x[1]), PAIRS[family](x[2], x[3]))

    def to_fixed(x):
        return D.kl_divergence(PAIRS[family](x[0], x[1]), PAIRS[family](ONES, ONES))

    for run in (program, to_fixed):
        check(run, pairs())
        ends = [end.requires_grad_() for end in pairs()._box]
        Y = run(IntervalTensor(*ends))
        for end in (Y.lower, Y.upper):
            if end.requires_grad:
                grads = torch.autograd.grad(end.sum(), ends, retain_graph=True)
                assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("family", HULLS)
def test_divergences_that_are_hulls(family):
    """The bounds are those of a fine grid of all parameters, which a bound by torch's own steps is far from."""
    for _ in range(5):
        X = pairs()[:, :1].float().double()
        grid = torch.cartesian_prod(*(torch.linspace(0, 1, 17, dtype=torch.float64) for _ in range(4))).T
        points = (X.lower[..., None] + X.width[..., None] * grid.unsqueeze(1)).squeeze(1)
        p, q = (PAIRS[family](*points[part]) for part in (slice(0, 2), slice(2, 4)))
        values = D.kl_divergence(p, q)
        with rounding("outward"):
            Z = X.float()
            Z = D.kl_divergence(PAIRS[family](Z[0], Z[1]), PAIRS[family](Z[2], Z[3]))
        assert bool((Z.lower <= values.min()) & (values.max() <= Z.upper))
        Y = D.kl_divergence(PAIRS[family](X[0], X[1]), PAIRS[family](X[2], X[3]))
        width = values.max() - values.min()
        assert bool((Y.lower <= values.min() + 1e-12) & (values.max() - 1e-12 <= Y.upper))
        assert float(Y.width) <= 1.05 * float(width)


def test_divergence_to_the_standard_normal():
    """In the deviation s it is (s^2 - 1)/2 - log s, one function that is 0 at s = 1: bounded as one."""
    p = D.Normal(
        IntervalTensor(torch.tensor([-0.5]), torch.tensor([1.0])), IntervalTensor(ONES[:1] / 2, 2 * ONES[:1]).float()
    )
    Y = D.kl_divergence(p, D.Normal(0.0, 1.0))
    assert float(Y.lower) == 0
    assert float(Y.upper) == pytest.approx(0.5 * (4 + 1 - 1) - torch.tensor(2.0).log().item())


def test_the_least_divergence_of_means_that_are_apart():
    """The best deviation is the root of s^2 + d, beyond those of p: the divergence there is log(1 + d / s^2) / 2."""
    q = D.Normal(3.0 * ONES, IntervalTensor(0.5 * ONES, 6 * ONES))
    Y = D.kl_divergence(D.Normal(ZEROS, ONES), q)
    torch.testing.assert_close(Y.lower, 0.5 * torch.log(10 * ONES))
    torch.testing.assert_close(Y.upper, D.kl_divergence(D.Normal(ZEROS, ONES), D.Normal(3 * ONES, 0.5 * ONES)))


def test_divergences_of_plain_distributions_are_torchs_own():
    p, q = D.Normal(ZEROS, ONES), D.Normal(ONES, 2 * ONES)
    assert torch.equal(D.kl_divergence(p, q), torch.distributions.kl._kl_normal_normal(p, q))


# --- validation -------------------------------------------------------------------------------------------------------


def interval(lower, upper):
    return IntervalTensor(torch.tensor([lower]), torch.tensor([upper]))


def test_a_constraint_that_is_broken_everywhere_raises_what_torch_raises():
    with pytest.raises(ValueError, match="Expected parameter scale") as caught:
        D.Normal(0.0, interval(-2.0, -1.0))
    assert type(caught.value) is ValueError
    with pytest.raises(ValueError, match="to be within the support"):
        D.Exponential(1.0).log_prob(interval(-2.0, -1.0))


def test_a_constraint_that_is_undecided_is_named():
    words = "scale of Normal", "GreaterThan(lower_bound=0.0)", "clamp", "Normal(..., validate_args=False)"
    refuses(UndecidedError, lambda: D.Normal(0.0, interval(-1.0, 1.0)), *words)
    refuses(UndecidedError, lambda: D.Exponential(1.0).log_prob(interval(-1.0, 1.0)), "the value of Exponential")
    refuses(UndecidedError, lambda: D.Normal(interval(0.0, 1.0), interval(0.0, 1.0)), "scale of Normal")
    matrix = IntervalTensor.from_ball(torch.eye(3), 0.01)
    refuses(UndecidedError, lambda: D.MultivariateNormal(torch.zeros(3), matrix), "covariance_matrix of Multi")


def test_an_equation_passes_where_some_point_keeps_it():
    """No box with an interior keeps an equation everywhere; the inequalities beside it are kept everywhere."""
    p = IntervalTensor(torch.tensor([0.2, 0.6]), torch.tensor([0.4, 0.8]))
    D.Dirichlet(torch.ones(2)).log_prob(p)
    reaches = IntervalTensor(torch.tensor([-0.1, 0.8]), torch.tensor([0.1, 1.1]))
    refuses(UndecidedError, lambda: D.Dirichlet(torch.ones(2)).log_prob(reaches), "Simplex")
    with pytest.raises(ValueError, match="within the support"):
        D.Dirichlet(torch.ones(2)).log_prob(p + 0.5)
    factor = IntervalTensor.from_ball(torch.eye(2), 0.1)
    D.MultivariateNormal(torch.zeros(2), scale_tril=factor.tril())
    refuses(UndecidedError, lambda: D.MultivariateNormal(torch.zeros(2), scale_tril=(factor - 0.95).tril()), "LowerCh")


def test_checks_of_all_entries():
    certain, open_ = interval(1.0, 2.0) > 0, interval(-1.0, 2.0) > 0
    assert torch._is_all_true(certain).item() is True and certain._is_any_true().item() is True
    assert torch._is_all_true(~certain).item() is False
    torch._assert_async(certain, "positive")
    torch._check_tensor_all(certain)
    for ask in (torch._is_all_true, torch._is_any_true, torch._assert_async, torch._check_tensor_all):
        refuses(UndecidedError, functools.partial(ask, open_), "depends on the point")
    with pytest.raises(RuntimeError, match="positive"):
        torch._assert_async(~certain, "positive")


def test_samplers_that_jump_refuse():
    p = interval(0.2, 0.4)
    for d in (D.Categorical(logits=p), D.Gamma(p, 1.0), D.Beta(p, p), D.Dirichlet(p), D.Poisson(p), D.Binomial(3, p)):
        refuses(UnsupportedOpError, d.sample, "draw", "pass the draw in")


def test_a_draw_of_a_bernoulli_is_what_its_uniform_numbers_give():
    X = IntervalTensor(0.4 * torch.ones(50), 0.6 * torch.ones(50))
    Y = seeded(D.Bernoulli(X).sample)
    for x in sample_points(X, 12):
        assert_encloses(Y, seeded(D.Bernoulli(x).sample))


def test_nan_is_written_where_a_mask_keeps_it_out():
    X = interval(1.0, 2.0)
    Y = X.clone()
    Y[X <= 0] = torch.nan
    assert torch.equal(Y.lower, X.lower) and torch.equal(torch.where(X > 0, X, torch.nan).upper, X.upper)
    assert torch.equal(X.masked_fill(X < 0, torch.nan).lower, X.lower)
    for wrong in (lambda: X.masked_fill(X < 1.5, torch.nan), lambda: torch.where(X > 1.5, X, torch.nan)):
        refuses(DomainError, wrong, "NaN")


def test_room_of_the_kind_of_a_box():
    X = interval(1.0, 2.0).double()
    assert X.new(2, 3).shape == X.new(torch.Size([2, 3])).shape == (2, 3) and X.new().numel() == 0
    assert X.new(2).dtype is torch.float64 and bool((X.new(2).exponential_().width == 0).all())
    refuses(UnsupportedOpError, lambda: X.new([1.0]), "new_tensor")


# --- a whole program --------------------------------------------------------------------------------------------------


class VAE(torch.nn.Module):
    """A variational autoencoder as many are written."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = torch.nn.Linear(4, 4), torch.nn.Linear(2, 4)

    def forward(self, x):
        loc, log_scale = self.encoder(x).chunk(2, -1)
        q = D.Independent(D.Normal(loc, log_scale.exp()), 1)
        p = D.Independent(D.Bernoulli(logits=self.decoder(seeded(q.rsample))), 1)
        prior = D.Independent(D.Normal(torch.zeros_like(loc), torch.ones_like(loc)), 1)
        return p.log_prob((x > 0.5).to(x.dtype)) - D.kl_divergence(q, prior)


def test_a_variational_autoencoder():
    torch.manual_seed(1)
    model = VAE().double()
    X = IntervalTensor.from_ball(torch.tensor([[0.1, 0.9, 0.8, 0.2]], dtype=torch.float64), 0.05)
    check(model, X)
    with rounding("outward", strict=True):
        Y = bound(model, X)
    assert boxes_of(Y)
    Y.lower.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
