"""Programs that use intervaltorch through its public interface alone."""
