"""The certificate: the formulas it must equal, and the images it must hold for."""

import copy

import pytest
import torch

import intervaltorch as it
from examples.provae.attack import pgd
from examples.provae.certify import ball, elbo_bounds
from examples.provae.evaluate import draw_noise, examine

EPS = 0.05


def centre_radius(box):
    return (box.lower + box.upper) / 2, (box.upper - box.lower) / 2


@pytest.fixture
def double(model):
    return copy.deepcopy(model).double()


@pytest.mark.parametrize("clip", [True, False])
def test_elbo_of_a_box_is_the_closed_form_of_the_tight_bound(double, few, noise, clip):
    """Lower: KL <= 1/2 sum (|mu_c| + mu_r)^2 - min f, rec <= sum (|c - g_c| + r + g_r)^2 / (2 variance)."""
    box, noise = ball(few[:].double(), EPS, clip), noise.double()
    with torch.no_grad(), it.rounding("nearest"):
        bounds = double.elbo(box, noise)
        mean, log_std = double.encode(box)
        image = double.decode(mean + log_std.exp() * noise)

    def f(s):
        return 1 + s - s.exp()

    mean_c, mean_r = centre_radius(mean)
    s_l, s_u = 2 * log_std.lower, 2 * log_std.upper
    ends = torch.stack([f(s_l), f(s_u)])
    highest = torch.where((s_l <= 0) & (s_u >= 0), 0.0, ends.amax(0))
    kl_upper = ((mean_c.abs() + mean_r) ** 2 - ends.amin(0)).sum(-1) / 2
    kl_lower = ((mean_c.abs() - mean_r).clamp(min=0) ** 2 - highest).sum(-1) / 2

    (c, r), (g_c, g_r) = centre_radius(box), centre_radius(image)
    distance = (c - g_c).abs()
    scale = 2 * double.variance
    rec_upper = ((distance + r + g_r) ** 2).flatten(2).sum(-1).mean(0) / scale
    rec_lower = ((distance - r - g_r).clamp(min=0) ** 2).flatten(2).sum(-1).mean(0) / scale

    torch.testing.assert_close(bounds.lower, -kl_upper - rec_upper, rtol=1e-11, atol=0)
    torch.testing.assert_close(bounds.upper, -kl_lower - rec_lower, rtol=1e-11, atol=0)


def test_code_of_a_box_is_the_closed_form(double, few, noise):
    """Equation (19): the smallest code takes sigma upper with negative noise, sigma lower with positive."""
    box, noise = ball(few[:].double(), EPS), noise.double()
    with torch.no_grad(), it.rounding("nearest"):
        mean, log_std = double.encode(box)
        z = mean + log_std.exp() * noise
    low, high = log_std.lower.exp(), log_std.upper.exp()
    positive, negative = noise.clamp(min=0), noise.clamp(max=0)
    expected_lower = mean.lower + high * negative + low * positive
    expected_upper = mean.upper + low * negative + high * positive
    # two or three roundings of terms no larger than these
    size = torch.finfo(torch.float64).eps * 8 * (mean.magnitude + high * noise.abs())
    assert ((z.lower - expected_lower).abs() <= size).all()
    assert ((z.upper - expected_upper).abs() <= size).all()


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("eps", [0.005, EPS, 0.2])
def test_no_attack_leaves_the_certified_interval(model, double, few, noise, rng, eps, clip):
    x = few[:]
    with it.rounding("outward"):
        bounds = elbo_bounds(model, x, eps, noise, clip)
    low = pgd(model, x, eps, noise, generator=rng, steps=40, clip=clip)
    high = pgd(model, x, eps, noise, generator=rng, steps=40, clip=clip, raise_elbo=True)
    with torch.no_grad():
        lowest, highest = (double.elbo(found.images.double(), noise.double()) for found in (low, high))
    assert (bounds.lower.double() <= lowest).all()
    assert (highest <= bounds.upper.double()).all()
    assert (low.elbo < high.elbo).all()


def test_certified_attacked_and_clean_are_ordered_for_every_image(model, few, noise):
    found = examine(model, few, noise, EPS)
    assert (found.certified <= found.attacked).all()
    assert (found.attacked <= found.clean).all()


def test_corners_of_the_ball_stay_inside(model, double, few, noise, rng):
    x = few[:]
    box = ball(x, EPS)
    with it.rounding("outward"):
        bounds = elbo_bounds(model, x, EPS, noise)
    for _ in range(50):
        up = torch.rand(x.shape, generator=rng) < 0.5
        corner = torch.where(up, box.upper, box.lower)
        with torch.no_grad():
            value = double.elbo(corner.double(), noise.double())
        assert ((bounds.lower.double() <= value) & (value <= bounds.upper.double())).all()


def test_radius_zero_certifies_the_image_itself(model, double, few, noise):
    with torch.no_grad():
        exact = double.elbo(few[:].double(), noise.double())
    with it.rounding("outward"):
        bounds = elbo_bounds(model, few[:], 0.0, noise)
    assert ((bounds.lower.double() <= exact) & (exact <= bounds.upper.double())).all()
    assert (bounds.width < 0.1 * exact.abs()).all()


def test_larger_balls_have_wider_bounds(model, few, noise):
    inner, outer = (elbo_bounds(model, few[:], eps, noise) for eps in (0.02, 0.05))
    assert (outer.lower < inner.lower).all()
    assert (inner.upper < outer.upper).all()


def test_clipping_the_ball_tightens(model, few, noise):
    clipped, whole = (elbo_bounds(model, few[:], EPS, noise, clip) for clip in (True, False))
    assert (whole.lower < clipped.lower).all()


def test_encoding_the_two_end_images_is_not_a_bound(model, splits):
    """The paper's (16) evaluates the encoder at the darkest and the brightest image; others leave that."""
    x = splits.test.first(100)[:]
    box = ball(x, EPS)
    noise = draw_noise(model, splits.test.first(100), samples=1, seed=0)
    with torch.no_grad():
        ends = torch.stack([model.encode(box.lower)[0], model.encode(box.upper)[0]])
        image = pgd(model, x, EPS, noise, generator=torch.Generator().manual_seed(0)).images
        mean = model.encode(image)[0]
        sound = model.encode(box)[0]
    outside = (mean < ends.amin(0)) | (mean > ends.amax(0))
    assert outside.double().mean() > 0.05
    assert ((sound.lower <= mean) & (mean <= sound.upper)).all()


def test_the_bound_can_be_trained_through(double, few, noise):
    """The gradient of the certified ELBO is its derivative, for every parameter."""
    box, noise = ball(few.first(2)[:].double(), EPS), noise[:2, :2].double()
    # many weights are small and |w| has a kink at 0: a step must not cross one
    step = 1e-8
    double.elbo(box, noise).lower.sum().backward()
    for name, parameter in double.named_parameters():
        direction = torch.randn_like(parameter)
        direction /= direction.norm()
        values = []
        with torch.no_grad():
            for sign in (1, -2):
                parameter += sign * step * direction
                values.append(double.elbo(box, noise).lower.sum())
            parameter += step * direction
        numeric = (values[0] - values[1]) / (2 * step)
        exact = (parameter.grad * direction).sum()
        # about 1e4 roundings in sums of this size, divided by the step
        cancellation = 100 * torch.finfo(torch.float64).eps * values[0].abs().item() / step
        torch.testing.assert_close(exact, numeric, rtol=1e-4, atol=cancellation, msg=name)
