// A vehicle's own program in C++: an ONNX file runs in OpenVINO, and its answers are compared with `seg golden`'s.
//
//     seg golden drive drive.mp4 -o golden
//     g++ -std=c++17 -O2 segment.cpp -o segment -I $OPENVINO/include -L $OPENVINO/libs -l:libopenvino.so.N
//     ./segment drive.onnx golden/000
//
// OPENVINO is where the Python package stands, or use the package of your system and -lopenvino. Exit code 0: it matches.
#include <openvino/openvino.hpp>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Bytes {  // a .npy file of bytes, C order (NumPy's format 1.0)
    std::vector<size_t> shape;
    std::vector<uint8_t> values;
};

Bytes read_npy(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    char start[10];
    if (!file.read(start, 10)) throw std::runtime_error(path + ": no .npy file");
    std::string header(uint8_t(start[8]) + 256 * uint8_t(start[9]), ' ');
    file.read(header.data(), header.size());
    if (header.find("|u1") == std::string::npos) throw std::runtime_error(path + ": expected bytes");
    Bytes array;
    size_t count = 1;
    std::stringstream shape(header.substr(header.find('(') + 1));
    for (size_t side; shape >> side; shape.ignore()) {
        array.shape.push_back(side);
        count *= side;
    }
    array.values.resize(count);
    if (!file.read(reinterpret_cast<char*>(array.values.data()), count)) throw std::runtime_error(path + ": truncated");
    return array;
}

// The class map at the frame's size: the pixel in which the centre lies. Integers, so that no rounding decides.
std::vector<uint8_t> fit_map(const uint8_t* map, size_t h, size_t w, size_t height, size_t width) {
    std::vector<uint8_t> fitted(height * width);
    for (size_t y = 0; y < height; ++y)
        for (size_t x = 0; x < width; ++x)
            fitted[y * width + x] = map[(2 * y + 1) * h / (2 * height) * w + (2 * x + 1) * w / (2 * width)];
    return fitted;
}

double differing(const uint8_t* ours, const std::vector<uint8_t>& theirs) {
    size_t count = 0;
    for (size_t i = 0; i < theirs.size(); ++i) count += ours[i] != theirs[i];
    return double(count) / theirs.size();
}

int main(int argc, char** argv) try {
    if (argc != 3) throw std::runtime_error("usage: segment MODEL.onnx GOLDEN/000");
    const std::string folder = std::string(argv[2]) + "/";
    ov::Core core;
    auto model = core.read_model(argv[1]);
    const auto contract = model->get_rt_info<std::string>("framework", "segmentation_autoencoder.spec");
    if (contract.find("\"profile\":\"frame\"") == std::string::npos)
        throw std::runtime_error("expected a file of profile frame");  // a real program parses the JSON

    auto compiled = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32));
    auto request = compiled.create_infer_request();

    // From a camera: cv::cvtColor to RGB, then cv::resize(frame, fitted, size, 0, 0, cv::INTER_LINEAR) where sizes differ.
    Bytes input = read_npy(folder + "input.npy");
    request.set_tensor("frame", ov::Tensor(ov::element::u8, ov::Shape(input.shape), input.values.data()));
    request.infer();

    const ov::Tensor classes = request.get_tensor("classes"), confidence = request.get_tensor("confidence");
    for (size_t i = 0; i < confidence.get_size(); ++i)  // in bytes a number that is none reads as 0
        if (confidence.data<uint8_t>()[i] == 0) throw std::runtime_error("the network answers what is no number");

    const Bytes map = read_npy(folder + "map.npy");
    const auto fitted = fit_map(classes.data<uint8_t>(), classes.get_shape()[1], classes.get_shape()[2], map.shape[0], map.shape[1]);
    const double in_classes = differing(classes.data<uint8_t>(), read_npy(folder + "classes.npy").values);
    const double in_map = differing(fitted.data(), map.values);
    std::cout << "pixels of another class: " << 100 * in_classes << " % of the network's map, " << 100 * in_map
              << " % of the frame's\n";
    return in_classes <= 0.001 && in_map <= 0.001 ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception& error) {
    std::cerr << "segment: " << error.what() << "\n";
    return 2;
}
