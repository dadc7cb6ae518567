// Every documented call of CompreFace's JavaScript client, as it is. Prints what they returned, one JSON object.
// Arguments: folder of the installed client, address of the service, folder with photos.
import { readFileSync } from "node:fs";
import process from "node:process";

const [client, address, photos] = process.argv.slice(2);
const { CompreFace } = await import(`${client}/@exadel/compreface-js-sdk/index.js`);
console.log = () => {}; // the client writes its key there
process.chdir(photos);
const [, host, port] = address.match(/^(.*):(\d+)$/);
const server = new CompreFace(host, port);
const recognition = server.initFaceRecognitionService("any");
const verification = server.initFaceVerificationService("any");
const detection = server.initFaceDetectionService("any");
const faces = () => recognition.getFaceCollection(); // each has its address once: its calls change it
const subjects = () => recognition.getSubjects();
const plugins = { limit: 1, det_prob_threshold: 0.5, face_plugins: "landmarks", status: "true" };
const found = {};
const said = async (call) => {
  try {
    return await call;
  } catch (error) {
    return { status: error.response?.status, ...error.response?.data };
  }
};

found.declared = await said(subjects().add("Eve"));
found.again = await said(subjects().add("eve"));
found.added = await said(faces().add("./first.jpg", "Eve", { det_prob_threshold: 0.5 }));
found.second = await said(faces().add(readFileSync("second.jpg").toString("base64"), "Eve"));
found.nobody = await said(faces().add("./nobody.jpg", "Eve"));
found.pair = await said(faces().add("./pair.jpg", "Eve"));
found.listed = await said(faces().list());
found.subjects = await said(subjects().list());
found.verified = await said(faces().verify("./other.jpg", found.added.image_id, plugins));
found.byAddress = await said(recognition.recognize(`${address}/api/v1/static/any/images/${found.added.image_id}`, { prediction_count: 2 }));
found.recognized = await said(recognition.recognize("./other.jpg", plugins));
found.detected = await said(detection.detect("./pair.jpg", plugins));
found.compared = await said(verification.verify("./first.jpg", "./pair.jpg", { det_prob_threshold: 0.5 }));
found.renamed = await said(subjects().rename("Eve", "Yve"));
found.deleted = await said(faces().delete(found.added.image_id));
found.unknown = await said(faces().delete(found.added.image_id));
found.several = await said(faces().delete_multiple_images([found.added.image_id, found.second.image_id]));
found.gone = await said(faces().verify("./other.jpg", found.second.image_id));
await said(faces().add("./first.jpg", "Eve"));
found.allOfOne = await said(faces().delete_all_subject("Eve"));
await said(faces().add("./first.jpg", "Eve"));
found.subject = await said(subjects().delete("Eve"));
found.everybody = await said(subjects().deleteAll());
found.everything = await said(faces().delete_all());
process.stdout.write(JSON.stringify(found));
